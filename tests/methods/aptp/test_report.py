from __future__ import annotations

from typing import Any

import pytest
import torch

from aptp_bench.budget import Budget
from aptp_bench.methods.aptp.report import Report, report, spread
from aptp_bench.pruning.cost import Cost
from aptp_bench.pruning.gates import GateSpace
from aptp_bench.pruning.macs import example_inputs
from aptp_bench.pruning.threshold import land


@pytest.mark.parametrize(("loads", "effective", "largest"), [([5, 5, 5, 5], 4.0, 0.25), ([7, 0, 0, 0], 1.0, 1.0)])
def test_the_spread_of_even_and_of_collapsed_loads(loads: list[int], effective: float, largest: float) -> None:
    found = spread(torch.tensor(loads))
    assert found.effective == pytest.approx(effective) and found.largest == largest


def test_a_report_says_what_every_expert_costs_and_serves(tiny: Any, space: GateSpace) -> None:
    cost = Cost.of(tiny.unet, space, example_inputs(tiny.unet), "exact")
    logits = torch.randn(2, space.size, generator=torch.Generator().manual_seed(0))
    landed = land(logits, torch.tensor([0.25, 0.75]), cost, Budget.of(0.7))
    captions = ["a cat", "a blue boat", "two boats and a boat", "boat"]
    about = report(landed, torch.tensor([0, 1, 1, 1]), captions, cost, Budget.of(0.7))
    assert [expert.prompts for expert in about.experts] == [1, 3]
    assert about.experts[0].words == ["cat"] and about.experts[1].words[0] == "boat"
    mean = sum(e.macs_ratio * e.prompts for e in about.experts) / 4
    assert mean == pytest.approx(about.mean_ratio) == pytest.approx(0.7, abs=0.005)
    assert about.spread.largest == 0.75
    assert set(about.experts[0].blocks) == set(cost.blocks)
    assert Report.model_validate_json(about.model_dump_json()) == about
