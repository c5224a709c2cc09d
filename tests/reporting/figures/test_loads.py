from __future__ import annotations

from typing import Any

import pytest

from aptp_bench.errors import FigureError
from aptp_bench.reporting.figures import loads
from aptp_bench.reporting.figures.facts import facts_of

SERVED = {"training prompts": [300, 100], "evaluation prompts": [1, 3]}


def test_bars_are_shares_of_the_prompts_with_their_number_on_top() -> None:
    axes = loads.bars(SERVED, [0.7, 0.9], "mini world", "exact").axes[0]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([75, 25, 25, 75])
    assert [text.get_text() for text in axes.texts] == ["300", "100", "1", "3"]
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert axes.patches[0].get_hatch() != axes.patches[2].get_hatch()  # colour is not all that tells them apart
    assert legend[1:] == ["training prompts (n = 400)", "evaluation prompts (n = 4)"]


def test_an_experts_budget_stands_below_its_bars() -> None:
    axes = loads.bars(SERVED, [0.7, 0.9], "mini world", "aptp").axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0\n0.700", "1\n0.900"]
    for place, tick in enumerate(axes.get_xticks()):
        own = [axes.patches[place], axes.patches[2 + place]]
        assert own[0].get_x() < tick < own[1].get_x() + own[1].get_width()
    assert "aptp" in axes.get_xlabel() and axes.get_ylabel() == "share of the prompts, %"


def test_an_expert_that_serves_nobody_is_a_bar_of_no_height() -> None:
    axes = loads.bars({"evaluation prompts": [0, 0]}, [0.7, 0.9], "mini world", "exact").axes[0]
    assert [bar.get_height() for bar in axes.patches] == [0, 0]


def test_a_runs_bars_are_its_records(finished: Any) -> None:
    facts = facts_of(finished("aptp"))
    axes = loads.of_run(facts).axes[0]
    train = [expert.train_prompts for expert in facts.record.experts]
    assert [bar.get_height() for bar in axes.patches[:3]] == pytest.approx([100 * n / 12 for n in train])
    ratios = [e.macs["exact"] / facts.record.macs["exact"].dense for e in facts.record.experts]
    assert [t.get_text().split("\n")[1] for t in axes.get_xticklabels()] == [f"{ratio:.3f}" for ratio in ratios]
    assert "mini world" in axes.get_title()
    with pytest.raises(FigureError, match="norm has one expert"):
        loads.of_run(facts_of(finished("norm")))
