from __future__ import annotations

import pytest
import torch

from aptp_bench.budget import CONVENTIONS
from aptp_bench.errors import MetricError
from aptp_bench.metrics.macs import MACs, Parameters, traffic
from aptp_bench.pruning.macs import count, example_inputs


def test_traffic_is_the_share_of_prompts_and_unused_experts_have_none(evidence) -> None:
    assert traffic(evidence).tolist() == [0.4, 0.6]
    evidence.system.assignment = torch.zeros(4, dtype=torch.long)
    assert traffic(evidence).tolist() == [1, 0]
    evidence.system.assignment = torch.zeros(0, dtype=torch.long)
    with pytest.raises(MetricError, match="no prompt"):
        traffic(evidence)


def test_macs_are_the_experts_weighted_by_their_prompts(evidence) -> None:
    found = MACs()(evidence)
    inputs = example_inputs(evidence.system.teacher.unet, 8, 32)
    counted = [{c: count(unet, inputs, c).total for c in CONVENTIONS} for unet in evidence.system.mixture.experts]
    assert found.detail["experts"] == counted
    assert found.value == pytest.approx((0.4 * counted[0]["exact"] + 0.6 * counted[1]["exact"]) / 1e9)
    dense = found.detail["dense"]
    assert dense["exact"] == count(evidence.system.teacher.unet, inputs, "exact").total
    assert found.detail["ratio"]["aptp"] == pytest.approx(found.detail["mean"]["aptp"] / dense["aptp"])
    assert found.detail["experts"][1]["exact"] < found.detail["experts"][0]["exact"] < dense["exact"]
    assert (found.n, found.interval) == (5, None)


def test_parameters_are_per_image_and_stored(evidence) -> None:
    found = Parameters()(evidence)
    sizes = [sum(p.numel() for p in unet.parameters()) for unet in evidence.system.mixture.experts]
    assert found.value == pytest.approx((0.4 * sizes[0] + 0.6 * sizes[1]) / 1e6)
    assert found.detail["stored"] == sum(sizes)
    assert found.detail["dense"] == sum(p.numel() for p in evidence.system.teacher.unet.parameters())
