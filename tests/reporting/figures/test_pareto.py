from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from matplotlib.colors import to_hex

from aptp_bench.errors import ConfigError
from aptp_bench.reporting.figures import style
from aptp_bench.reporting.figures.pareto import pareto
from aptp_bench.reporting.figures.svg_digest import seal, verify
from aptp_bench.reporting.ranking.entries import entries
from aptp_bench.reporting.ranking.tradeoff import Tradeoff
from aptp_bench.reporting.worlds import NAMES


@pytest.fixture
def among(make_record) -> list[Any]:
    return entries(
        [
            make_record("dense", budget=1.0, fid=(2.0, 1.8, 2.3), latency=(0.9, 0.8, 1.1)),
            make_record("a", budget=0.5, fid=(3.0, 2.5, 3.5), latency=(0.4, 0.3, 0.5)),
            make_record("b", budget=0.7, fid=(3.5, 3.0, 4.0), latency=(0.5, 0.4, 0.6)),
            make_record("c", budget=0.8, fid=(2.5, 2.0, 3.0), latency=(0.6, 0.5, 0.7)),
        ]
    )


def marks(figure: Any) -> dict[tuple[float, float], str]:
    """Where points lie, and their colours."""
    drawn_lines = [line for bar in figure.axes[0].containers for line in bar.lines[:1]]
    return {(line.get_xdata()[0], line.get_ydata()[0]): to_hex(line.get_color()) for line in drawn_lines}


def test_every_entry_is_a_point_at_its_cost_and_quality(among):
    assert set(marks(pareto(among, "fid"))) == {(1.0, 2.0), (0.5, 3.0), (0.7, 3.5), (0.8, 2.5)}
    assert set(marks(pareto(among, "fid", "latency"))) == {(0.9, 2.0), (0.4, 3.0), (0.5, 3.5), (0.6, 2.5)}


def test_error_bars_are_the_intervals(among):
    figure = pareto(among, "fid", "latency")
    ends = [bar.get_segments()[0].tolist() for holder in figure.axes[0].containers for bar in holder.lines[2]]
    rounded = [[[round(x, 6) for x in spot] for spot in end] for end in ends]
    assert [[0.4, 2.5], [0.4, 3.5]] in rounded and [[0.3, 3.0], [0.5, 3.0]] in rounded


def test_axes_have_units_direction_device_world_and_dataset(among):
    axes = pareto(among, "fid", "latency").axes[0]
    assert "latency (s; Intel" in axes.get_xlabel() and "less is better" in axes.get_xlabel()
    assert axes.get_ylabel() == "FID, lower is better ↓"
    assert axes.get_title() == "FID on coco, mini-sd: mini world"
    assert "share of dense, exact" in pareto(among, "clip_score").axes[0].get_xlabel()
    assert pareto(among, "clip_score").axes[0].get_ylabel() == "CLIP score (x100), higher is better ↑"
    assert pareto(among, "fid", title="mine").axes[0].get_title() == "mine"


def test_a_method_keeps_its_look_over_budgets(make_record):
    figure = pareto(
        entries([make_record("a", budget=b, fid=(b, b, b)) for b in (0.5, 0.7)] + [make_record("b")]), "fid"
    )
    points = marks(figure)
    assert points[0.5, 0.5] == points[0.7, 0.7] != points[0.78, make_record("b").results["fid"].value]
    assert {text.get_text() for text in figure.axes[0].texts} == {"0.5", "0.7"}  # b has one point: its legend says it


@pytest.mark.parametrize("metric", ["fid", "clip_score"])
def test_the_frontier_is_what_nothing_beats(make_record, metric):
    rng = random.Random(0)
    sign = 1 if metric == "fid" else -1
    for _ in range(20):
        made = [
            make_record(f"m{i}", budget=rng.randint(1, 9) / 10, **{metric: float(rng.randint(1, 9))}) for i in range(9)
        ]
        shown = Tradeoff.of(entries(made), metric)
        beaten = {
            id(p)
            for p in shown.points
            for q in shown.points
            if q.x <= p.x and sign * q.y <= sign * p.y and (q.x, q.y) != (p.x, p.y)
        }
        best = {(p.x, p.y) for p in shown.points if id(p) not in beaten}
        assert [(p.x, p.y) for p in shown.frontier] == sorted(best)


def test_the_frontier_line_is_a_staircase_through_its_points(among):
    line = next(each for each in pareto(among, "fid").axes[0].lines if each.get_linestyle() == "--")
    xs, ys = line.get_xdata(), line.get_ydata()
    assert {(0.5, 3.0), (0.8, 2.5), (1.0, 2.0), (0.8, 3.0), (1.0, 2.5)} <= set(zip(xs, ys, strict=True))
    steps = list(zip(xs, ys, strict=True))
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in itertools.pairwise(steps))


def test_only_one_device_is_plotted_and_all_qualities_of_one_protocol(make_record, among):
    gpu = entries([make_record("fast", detail={"latency": {"device": "a GPU"}}, latency=(0.01, 0.01, 0.01))])
    other = entries([make_record("blurred", detail={"fid": {"resize": "none"}})])
    assert set(marks(pareto([*gpu, *among], "fid", "latency"))) == set(marks(pareto(among, "fid", "latency")))
    assert set(marks(pareto([*other, *among], "fid"))) == set(marks(pareto(among, "fid")))
    assert len(marks(pareto([*gpu, *among], "fid"))) == 5


def test_worlds_share_no_plot_and_nothing_is_no_plot(make_record, among):
    for change in ({"world": "paper"}, {"what": {"dataset": "cc3m"}}, {"what": {"sampling": {"steps": 1}}}):
        with pytest.raises(ConfigError, match="share no plot"):
            pareto([*among, *entries([make_record("z", **change)])], "fid")
    for metric, cost in (("nothing", "exact"), ("fid", "nothing")):
        with pytest.raises(ConfigError, match=f"no record has {metric} and {cost}; run one"):
            pareto(among, metric, cost)
    with pytest.raises(ConfigError, match="no record has fid"):
        pareto([], "fid")


def test_the_title_names_the_world(make_record):
    for world, words in NAMES.items():
        assert words in pareto(entries([make_record("a", world=world)]), "fid").axes[0].get_title()


def test_a_sealed_figure_says_what_it_shows_and_that_nobody_changed_it(among):
    facts = Tradeoff.of(among, "fid").facts()
    svg = seal(style.svg(pareto(among, "fid")), facts)
    assert verify(svg, facts) is None
    assert verify(svg, Tradeoff.of(among, "cmmd").facts()) == "shows other numbers than the records"
    assert verify(svg.replace('width="', 'width="1', 1), facts) == "was changed after it was drawn"
    assert verify(svg.partition("<!-- aptp-bench")[0], facts) == "has no mark of what it was made from"
    assert verify(seal("<svg>another matplotlib's</svg>", facts), facts) is None


def test_every_number_of_a_plot_is_in_its_facts(make_record, among):
    before = Tradeoff.of(among, "fid", "latency").facts()
    for change in ({"fid": (2.001, 1.8, 2.3)}, {"fid": (2.0, 1.801, 2.3)}, {"latency": (0.9, 0.8, 1.101)}):
        given = {"fid": (2.0, 1.8, 2.3), "latency": (0.9, 0.8, 1.1), **change}
        other = entries([make_record("dense", budget=1.0, **given)])
        assert Tradeoff.of([*other, *among[1:]], "fid", "latency").facts() != before
