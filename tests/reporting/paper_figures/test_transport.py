"""Losses of the stage that trains experts, and the experts of the first prompts, of both variants."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aptp_bench.errors import FigureError
from aptp_bench.reporting.figures import style
from aptp_bench.reporting.paper_figures import makers
from aptp_bench.reporting.paper_figures.catalog import catalog
from aptp_bench.reporting.paper_figures.stock import stocked

ROWS = {"Contrastive router": "without", "+ Optimal transport": "with optimal transport"}
HISTORY = "mixture/router/history.jsonl"


def history(scale: float) -> str:
    rows = [{"stage": "warmup", "step": i, "resource": 9.0, "contrastive": 9.0} for i in range(3)]
    rows += [{"stage": "joint", "step": i, "resource": scale * i, "contrastive": scale} for i in range(4)]
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_losses_are_those_after_the_warm_up_a_line_a_variant_and_seed(made: Any, run: Any, shelf: Any) -> None:
    for place, row in enumerate(ROWS):
        for seed in (0, 1):
            run(made("aptp_3", row, seed), {"prune": {HISTORY: history(1 + place + 10 * seed)}})
    figure = makers.draw(stocked(catalog()["aptp_6"], shelf(), "mini"))
    lines = figure.data["lines"]
    assert {(line["variant"], line["seed"]) for line in lines} == {(v, s) for v in ROWS.values() for s in (0, 1)}
    assert [(line["first_step"], line["resource"]) for line in lines if line["seed"] == 0] == [
        (3, [0, 1, 2, 3]), (3, [0, 2, 4, 6])
    ]  # fmt: skip
    svg = style.svg(figure.figure)
    assert svg.count(">without<") == 2 and "seeds 0, 1" in svg  # once a panel, whatever the number of seeds


def test_a_run_without_a_history_is_refused(made: Any, run: Any, shelf: Any) -> None:
    for row in ROWS:
        run(made("aptp_3", row), {"prune": {}})
    with pytest.raises(FigureError, match="left no history"):
        makers.draw(stocked(catalog()["aptp_6"], shelf(), "mini"))


def test_squares_are_the_experts_that_drew_the_first_prompts(made: Any, run: Any, shelf: Any) -> None:
    experts = {row: [place, 0, 0, 0] for place, row in enumerate(ROWS)}
    for row, own in experts.items():
        run(made("aptp_3", row), {"generate": {"assignment.json": json.dumps(own)}})
    figure = makers.draw(stocked(catalog()["aptp_7"], shelf(), "mini"))
    assert figure.data["experts"] == {ROWS[row]: own for row, own in experts.items()}
    record = made("aptp_3", "Uni-Arch")
    assert figure.data["budgets"]["without"] == pytest.approx(record.expert_ratios("exact"), rel=1e-5)
    assert "2 experts in use" in style.svg(figure.figure)
