from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aptp_bench.errors import FigureError
from aptp_bench.reporting.figures import assignment, colormap
from aptp_bench.reporting.figures.facts import facts_of

BUDGETS = [0.6, 0.8, 1.0]


def squares(axes: Any) -> np.ndarray:
    return np.ma.getdata(axes.collections[0].get_array()).ravel()


def test_a_squares_tone_is_the_budget_of_its_prompts_expert() -> None:
    figure = assignment.grids({"alone": [0, 2, 1, 1], "balanced": [2, 2, 0, 1]}, BUDGETS, "mini world", "exact")
    alone, balanced, bar = figure.axes
    assert balanced.get_title() == "balanced:\n3 experts in use, the busiest has 50%"
    assert alone.get_xlabel() and alone.get_ylabel()
    assert squares(alone).tolist() == [0.6, 1.0, 0.8, 0.8]
    assert squares(balanced).tolist() == [1.0, 1.0, 0.6, 0.8]
    assert [text.get_text() for text in alone.texts] == ["0", "2", "1", "1"]
    assert bar.get_ylabel() == "MACs (exact) of the prompt's expert, share of dense"
    assert alone.collections[0].norm is balanced.collections[0].norm  # one scale for both


def test_rows_are_filled_from_the_top_and_what_is_left_is_empty() -> None:
    axes = assignment.grids({"alone": [0, 1, 2, 0, 1]}, BUDGETS, "mini world", "exact").axes[0]
    held = np.ma.masked_invalid(axes.collections[0].get_array().reshape(3, 3))
    assert held.count() == 5
    assert held[0].tolist() == [0.6, 0.8, 1.0] and held[1].tolist() == [0.6, 0.8, None]
    assert axes.yaxis_inverted()


def test_numbers_can_be_read_on_their_tones() -> None:
    def luminance(colour: Any) -> float:
        from matplotlib.colors import to_rgb

        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for value in np.linspace(0, 1, 21):
        one, other = sorted((luminance(colormap.MAP(value)[:3]), luminance(colormap.on_tone(value, colormap.WHOLE))))
        assert (other + 0.05) / (one + 0.05) > 3.5
    steps = [luminance(colormap.MAP(value)[:3]) for value in np.linspace(0, 1, 21)]
    assert steps == sorted(steps, reverse=True)  # darker is larger, which needs no colour vision


def test_a_run_shows_its_own_assignment_beside_the_balanced_one(finished: Any) -> None:
    facts = facts_of(finished("aptp"))
    figure = assignment.of_run(facts)
    served, balanced = figure.axes[:2]
    assert [int(text.get_text()) for text in served.texts] == facts.assignment()
    assert [int(text.get_text()) for text in balanced.texts] == facts.router.balanced(facts.captions()).tolist()
    assert "mini world" in figure.get_suptitle() and "6 evaluation prompts" in figure.get_suptitle()


def test_a_run_of_one_expert_has_nothing_to_show(finished: Any) -> None:
    with pytest.raises(FigureError, match="norm has one expert"):
        assignment.of_run(facts_of(finished("norm")))
