"""Scores, ranks and intervals are those of the pruning stage; what it did not keep is refused."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from aptp_bench.errors import DataError, FigureError
from aptp_bench.reporting.figures import style
from aptp_bench.reporting.paper_figures import makers
from aptp_bench.reporting.paper_figures.catalog import catalog
from aptp_bench.reporting.paper_figures.operators import block_of, position
from aptp_bench.reporting.paper_figures.stock import stocked

# in the order of the work
PATHS = (
    "down_blocks.0.resnets.0", "down_blocks.0.resnets.0.conv1", "down_blocks.0.attentions.0",
    "down_blocks.0.attentions.0.transformer_blocks.0.ff", "down_blocks.0.resnets.1", "down_blocks.0.downsamplers.0",
    "mid_block.resnets.0", "mid_block.attentions.0", "mid_block.resnets.1", "up_blocks.0.resnets.0", "up_blocks.1.upsamplers.0.conv",
)  # fmt: skip
AVG, STD = [1.0, 3.0], [0.5, 0.5]


def files(broken: str = "") -> dict[str, str]:
    """A report in which operator number i of PATHS is on place i of the ranking, every third one is modified."""
    rows = [
        {"operator": path, "kind": path.split(".")[-2], "score": None if path == broken else 2.5 * (i + 1), "modified": i % 3 == 0}
        for i, path in enumerate(PATHS)
    ]  # fmt: skip
    ledger: list[Any] = [{"key": "k"}]
    for part in (1, 0):  # parts of the prompts, in any order
        for i, path in enumerate(PATHS):
            scaled = [None if path == broken else (i + 1) * x for x in (AVG[part], STD[part])]
            ledger.append({"part": part, "operator": path, "samples": 1, "avg": scaled[:1], "std": scaled[1:]})
    text = "".join(json.dumps(row) + "\n" for row in ledger)
    return {"work/report.json": json.dumps({"operators": rows}), "work/scores-00.jsonl": text}


@pytest.fixture
def drawn(made: Any, run: Any, shelf: Any) -> Any:
    """drawn(id, files of the pruning stage) -> the figure."""

    def draw(id: str, kept: dict[str, str]) -> Any:
        run(made("ld_pruner_1", "LD-Pruner"), {"prune": kept})
        return makers.draw(stocked(catalog()[id], shelf(), "mini"))

    return draw


def test_operators_stand_in_the_order_of_the_work() -> None:
    mixed = random.Random(0).sample(PATHS, len(PATHS))
    assert tuple(sorted(mixed, key=position)) == PATHS
    assert [block_of(path) for path in (PATHS[0], PATHS[6], PATHS[-1])] == ["down 0", "mid", "up 1"]
    assert position("conv_in") > position(PATHS[-1])  # a candidate outside of the blocks is not lost


@pytest.mark.parametrize("id", ["ld_pruner_4", "ld_pruner_10", "ld_pruner_13"])
def test_what_is_drawn_is_what_the_stage_kept(drawn: Any, id: str) -> None:
    figure = drawn(id, files())
    rows = figure.data["operators"]
    assert [row["operator"] for row in rows] == list(PATHS)
    assert [row["rank"] for row in rows] == list(range(1, len(PATHS) + 1)) == [row["ranks"]["product"] for row in rows]
    assert [row["score"] for row in rows] == [2.5 * (i + 1) for i in range(len(PATHS))]
    assert [row["modified"] for row in rows] == [i % 3 == 0 for i in range(len(PATHS))]
    low, high = rows[0]["interval"]
    assert low < 2.5 < high and (low + high) / 2 == pytest.approx(2.5)
    assert "mini world" in style.svg(figure.figure)


def test_counts_are_of_each_block(drawn: Any) -> None:
    svg = style.svg(drawn("ld_pruner_13", files()).figure)
    assert "2 of 6" in svg and "1 of 3" in svg and "1 of 1" in svg and "0 of 1" in svg


def test_an_operator_that_broke_the_network_ranks_last_and_has_no_interval(drawn: Any) -> None:
    rows = drawn("ld_pruner_10", files(broken=PATHS[2])).data["operators"]
    assert rows[2]["score"] is None and rows[2]["interval"] is None
    assert set(rows[2]["ranks"].values()) == {len(PATHS)}


def test_scores_alone_are_drawn_without_intervals_and_other_formulas(drawn: Any) -> None:
    kept = files()
    del kept["work/scores-00.jsonl"]
    figure = drawn("ld_pruner_10", kept)
    assert all(row["interval"] is None and row["ranks"] == {} for row in figure.data["operators"])
    assert len(figure.figure.axes) == 1


@pytest.mark.parametrize(
    ("kept", "error", "words"),
    [({}, FigureError, "keeps no scores"), ({"work/report.json": "{"}, DataError, "cannot be read")],
)
def test_what_is_gone_or_torn_is_refused_in_one_line(drawn: Any, kept: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        drawn("ld_pruner_4", kept)
    assert "\n" not in str(caught.value)
