from __future__ import annotations

import pytest
import torch

from aptp_bench.budget import CONVENTIONS
from aptp_bench.errors import CountError, MetricError
from aptp_bench.metrics import macs as module
from aptp_bench.metrics.macs import MACs, Parameters, traffic
from aptp_bench.pruning.macs import count, example_inputs


def test_traffic_is_the_share_of_prompts_and_unused_experts_have_none(system) -> None:
    assert traffic(system).tolist() == [0.4, 0.6]
    system.assignment = torch.zeros(4, dtype=torch.long)
    assert traffic(system).tolist() == [1, 0]
    system.assignment = torch.zeros(0, dtype=torch.long)
    with pytest.raises(MetricError, match="no prompt"):
        traffic(system)


def test_macs_are_the_experts_weighted_by_their_prompts(system) -> None:
    found = MACs()(system)
    inputs = example_inputs(system.teacher.unet, 8, 32)
    counted = [{c: count(unet, inputs, c).total for c in CONVENTIONS} for unet in system.mixture.experts]
    assert found.detail["experts"] == counted
    assert found.value == pytest.approx((0.4 * counted[0]["exact"] + 0.6 * counted[1]["exact"]) / 1e9)
    dense = found.detail["dense"]
    assert dense["exact"] == count(system.teacher.unet, inputs, "exact").total
    assert found.detail["ratio"]["aptp"] == pytest.approx(found.detail["mean"]["aptp"] / dense["aptp"])
    assert found.detail["experts"][1]["exact"] < found.detail["experts"][0]["exact"] < dense["exact"]
    assert (found.n, found.interval) == (5, None)


def test_a_convention_without_a_rule_is_a_gap_and_the_budgets_own_is_an_error(system, monkeypatch) -> None:
    class Total:
        total = 7

    def picky(unet, inputs, convention):
        if convention == "aptp":
            raise CountError("no rule")
        return Total()

    monkeypatch.setattr(module.counter, "count", picky)
    found = MACs()(system)
    assert found.detail["mean"] == {"exact": 7.0, "aptp": None, "modules": 7.0}
    assert found.detail["ratio"]["aptp"] is None
    system.convention = "aptp"
    with pytest.raises(MetricError, match="no rule"):
        MACs()(system)


def test_parameters_are_per_image_and_stored(system) -> None:
    found = Parameters()(system)
    sizes = [sum(p.numel() for p in unet.parameters()) for unet in system.mixture.experts]
    assert found.value == pytest.approx((0.4 * sizes[0] + 0.6 * sizes[1]) / 1e6)
    assert found.detail["stored"] == sum(sizes)
    assert found.detail["dense"] == sum(p.numel() for p in system.teacher.unet.parameters())
