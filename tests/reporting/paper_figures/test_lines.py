"""Points are the records' numbers with their intervals; published ones stand in panels of their own."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from aptp_bench.harness.suite import Suite
from aptp_bench.reporting.figures import style
from aptp_bench.reporting.paper_figures import makers
from aptp_bench.reporting.paper_figures.catalog import catalog
from aptp_bench.reporting.paper_figures.stock import stocked
from aptp_bench.reporting.paper_tables.published import published


@pytest.fixture
def drawn(made: Any, shelf: Any) -> Any:
    """drawn(id, suite, value by recipe, seeds) -> the figure of made-up records; alone: a row of the first seed only."""

    def draw(id: str, suite: str, value: Any, seeds: int = 1, alone: str = "") -> Any:
        runs = {run.label: run.recipe for run in Suite.load(suite).runs()}
        records = [
            made(suite, label, seed, fid=value(recipe) + seed, clip_score=70.0, latency=8.0)
            for label, recipe in runs.items()
            for seed in range(1 if label == alone else seeds)
        ]
        return makers.draw(stocked(catalog()[id], shelf(records), "mini"))

    return draw


def panels(made: Any) -> tuple[list[Any], list[Any]]:
    found = made.data["panels"]
    return [p for p in found if not p["published"]], [p for p in found if p["published"]]


def test_experts_are_the_means_over_seeds_with_intervals(drawn: Any) -> None:
    figure = drawn("aptp_5", "mini/experts", lambda recipe: recipe.method_config["experts"], seeds=2)
    ours, theirs = panels(figure)
    points = ours[0]["lines"]["APTP"]
    assert [(point["x"], point["y"], point["seeds"]) for point in points] == [(4, 4.5, 2), (8, 8.5, 2), (12, 12.5, 2)]
    assert all(point["low"] < point["y"] - 1 and point["high"] > point["y"] + 1 for point in points)
    table = {row.method: row for row in published()["aptp_3"].rows}["aptp"]
    assert [panel["lines"]["APTP"][0]["y"] for panel in theirs] == [table.values["fid"], table.values["clip"]]
    assert "mini world" in figure.data["title"] and "seeds 0, 1" in figure.data["title"]
    assert "aptp-bench suite mini/experts && aptp-bench figures aptp_5" in figure.data["note"]


def test_fid_along_fine_tuning_is_a_line_a_network_beside_the_dense_level(drawn: Any) -> None:
    ours, theirs = panels(drawn("ld_pruner_5", "mini/ld_pruner_along", lambda recipe: 2 + recipe.finetune["steps"]))
    assert set(ours[0]["lines"]) == {"20 operators modified", "40 operators modified"}
    for points in ours[0]["lines"].values():
        assert [(point["x"], point["y"]) for point in points] == [(x, x + 2.0) for x in (0, 40, 120, 300, 500)]
    assert ours[0]["levels"]["dense"]["x"] is None
    table = published()["ld_pruner_3"]
    rows = {row.label: [row.values[c.key] for c in table.columns] for row in table.rows}
    assert {name: [point["y"] for point in line] for name, line in theirs[0]["lines"].items()} == rows


def test_formulas_by_number_of_operators_and_against_the_time_that_is_saved(drawn: Any) -> None:
    figure = drawn("ld_pruner_7", "mini/ld_pruner_formulas", lambda recipe: 3 + (recipe.method_config.get("p") or 0))
    (speed, amount), theirs = panels(figure)
    assert [point["x"] for point in speed["lines"]["sum"]] == pytest.approx([20.0] * 4)  # a ratio of 0.8 is 20 % saved
    assert speed["lines"]["sum"][0]["x_low"] == pytest.approx(19.0)
    assert set(amount["lines"]) == {"sum", "product", "average alone", "deviation alone"}
    assert [(point["x"], point["y"]) for point in amount["lines"]["product"]] == [(p, p + 3.0) for p in (5, 10, 20, 40)]
    assert theirs[0]["lines"]["LD-Pruner (42 modifications)"][0] == {
        **theirs[0]["lines"]["SD-v1.4"][0], "x": 34.89, "y": 12.37
    }  # fmt: skip


def test_lines_that_meet_stand_side_by_side(drawn: Any) -> None:
    figure = drawn("ld_pruner_7", "mini/ld_pruner_formulas", lambda recipe: 5.0).figure
    axes = figure.axes[1]
    marks = [line for line in axes.lines if line.get_marker() in style.MARKERS and len(line.get_xdata()) == 4]
    first = [float(mark.get_transform().transform((5.0, 5.0))[0]) for mark in marks]
    assert len(first) == 4 and min(b - a for a, b in pairwise(first)) > 3  # pixels


def test_rows_of_fewer_seeds_are_told_of(drawn: Any) -> None:
    title = drawn("aptp_5", "mini/experts", lambda recipe: 5.0, seeds=2, alone="8 experts").data["title"]
    assert "seeds 0, 1 (of some rows fewer)" in title
    assert "fewer" not in drawn("aptp_5", "mini/experts", lambda recipe: 5.0, seeds=2).data["title"]


def test_the_same_records_give_the_same_bytes_and_say_their_world(drawn: Any) -> None:
    one, other = (style.svg(drawn("aptp_5", "mini/experts", lambda recipe: 5.0).figure) for _ in range(2))
    assert one == other and "mini world" in one and "published: APTP, Table 3" in one and "not comparable" in one
