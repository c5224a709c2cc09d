from __future__ import annotations

from typing import Any

import pytest

from aptp_bench.reporting.pages import wording
from aptp_bench.reporting.ranking.boards import boards


@pytest.mark.parametrize(
    ("share", "said"),
    [("total", "300 steps in all, which the experts of a mixture share"), ("each", "300 steps for every expert")],
)
def test_it_is_said_who_shares_the_fine_tuning(make_record: Any, share: str, said: str) -> None:
    tuned = {"finetune.steps": 300, "finetune.share": share}
    board = boards([make_record(name, 0, 0.78, what=tuned) for name in ("alpha", "beta")])[0]
    assert dict(wording.state(board))["Fine-tuning"] == said


@pytest.mark.parametrize(("seeds", "said"), [([0], "0"), ([0, 1], "0, 1"), ([0, 1, 2], "0–2"), ([0, 2, 5], "0, 2, 5")])
def test_seeds_are_a_range_where_they_are_one(seeds: list[int], said: str) -> None:
    assert wording.seeds(seeds) == said
