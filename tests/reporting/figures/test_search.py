from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aptp_bench.errors import FigureError
from aptp_bench.reporting.figures import search
from aptp_bench.reporting.figures.facts import facts_of


def rows(joint: int = 30) -> list[dict[str, Any]]:
    warm = [{"stage": "warm", "step": i, "resource": 0.5, "ratio": 0.9} for i in range(10)]
    own = {"stage": "joint", "contrastive": 0.02, "ratio": 0.8, "ratios": [0.7, 0.9]}
    later = [{**own, "step": i, "resource": 10.0 ** -(i / 10)} for i in range(joint)]
    return warm + later


def panel(figure: Any, title: str) -> Any:
    (found,) = [axes for axes in figure.axes if axes.get_title() == title]
    return found


def test_the_faint_line_is_every_step_of_all_stages() -> None:
    axes = panel(search.losses(rows(), "mini world"), "resource loss")
    x, y = axes.lines[0].get_data()
    assert list(x) == list(range(40))
    assert y == pytest.approx([row["resource"] for row in rows()])


def test_a_number_that_a_stage_does_not_report_is_a_gap_and_no_nought() -> None:
    axes = panel(search.losses(rows(), "mini world"), "contrastive loss")
    y = axes.lines[0].get_ydata()
    assert np.isnan(y[:10]).all() and (y[10:] == 0.02).all()


def test_the_smoothed_line_does_not_cross_stages() -> None:
    axes = panel(search.losses(rows(200), "mini world"), "resource loss")
    bold = [line.get_data() for line in axes.lines if line.get_linewidth() > 1.5]
    assert [len(x) for x, _ in bold] == [10, 200]
    assert bold[0][1] == pytest.approx([0.5] * 10)


def test_smoothing_is_a_centred_mean_that_skips_what_is_missing() -> None:
    assert search.smoothed([1, 2, 3, 4, 5], 3) == pytest.approx([1.5, 2, 3, 4, 4.5])
    assert search.smoothed([1, float("nan"), 3], 3) == pytest.approx([1, 2, 3])
    assert search.smoothed([7, 1], 1) == pytest.approx([7, 1])


def test_stages_before_the_last_are_shaded_and_named() -> None:
    axes = search.losses(rows(), "mini world").axes[0]
    assert [(shade.get_x(), shade.get_width()) for shade in axes.patches] == [(-0.5, 10)]
    assert [text.get_text() for text in axes.texts] == ["warm", "joint"]


def test_what_spans_decades_is_logarithmic_and_the_rest_is_not() -> None:
    figure = search.losses(rows(), "mini world")
    assert panel(figure, "resource loss").get_yscale() == "log"
    assert panel(figure, "contrastive loss").get_yscale() == "linear"
    signed = [{"stage": "a", "step": i, "resource": (-1) ** i * 10.0**-i} for i in range(4)]
    assert panel(search.losses(signed, "mini world"), "resource loss").get_yscale() == "linear"


def test_the_ratio_has_its_budget_and_every_experts_own() -> None:
    axes = panel(search.losses(rows(), "mini world", 0.78, "exact"), "mean MACs / dense (exact)")
    labels = {line.get_label(): line for line in axes.lines}
    assert set(labels["budget 0.78"].get_ydata()) == {0.78}
    experts = [line.get_ydata() for line in axes.lines if line.get_linewidth() == 0.5]
    assert [y[-1] for y in experts] == [0.7, 0.9] and np.isnan(experts[0][:10]).all()
    assert axes.get_ylabel() == "share of the dense MACs"


def test_axes_have_labels_and_the_title_says_the_world() -> None:
    figure = search.losses(rows(), "Losses\nmini world")
    drawn = [axes for axes in figure.axes if axes.axison]
    assert len(drawn) == 3 and all(axes.get_ylabel() for axes in drawn)
    assert all(axes.get_xlabel() == "step of the pruning stage" for axes in drawn)
    assert figure.get_suptitle() == "Losses\nmini world"


def test_a_strangers_loss_has_its_own_panel() -> None:
    figure = search.losses([{"stage": "a", "step": 0, "surprise": 1.0, "resource": 2.0}], "mini world")
    drawn = {axes.get_title(): list(axes.lines[0].get_ydata()) for axes in figure.axes if axes.axison}
    assert drawn == {"resource loss": [2.0], "surprise": [1.0]}


def test_no_history_is_an_error_that_says_so() -> None:
    with pytest.raises(FigureError, match="no history"):
        search.losses([], "mini world")


def test_a_runs_history_is_drawn_and_a_static_run_has_none(finished: Any) -> None:
    facts = facts_of(finished("aptp"))
    figure = search.of_run(facts)
    assert len(facts.router.history) == 8
    y = panel(figure, "resource loss").lines[0].get_ydata()
    assert list(y) == pytest.approx([row["resource"] for row in facts.router.history])
    assert "mini world, smoke scale" in figure.get_suptitle()
    with pytest.raises(FigureError, match="norm left no history"):
        search.of_run(facts_of(finished("norm")))
