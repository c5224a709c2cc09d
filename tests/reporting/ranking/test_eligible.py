from __future__ import annotations

from typing import Any

import pytest

from aptp_bench.reporting.ranking.boards import boards
from aptp_bench.reporting.ranking.eligible import parted

SOURCE = {"prune": "p", "finetune": "f", "generate": "g", "measure-fid": "m"}


@pytest.fixture
def made(make_record: Any) -> Any:
    """made(method, seed=0, **how) -> a record with these facts of its making."""
    return lambda method, seed=0, what={}, **how: make_record(method, seed, what=what, how=how)


def names(records: Any) -> list[tuple[str, int]]:
    return [(record.what.method, record.what.seed) for record in records]


def test_a_dirty_source_and_an_unknown_one_stand_apart_with_the_reason(made):
    records = [made("a"), made("b", dirty=True), made("c", commit=None, dirty=None), made("e", dirty=None), made("d")]
    taken, apart = parted(records)
    assert taken == [records[0], records[4]] and [each.record for each in apart] == records[1:4]
    assert "changes" in apart[0].why and "unknown" in apart[1].why and "unknown" in apart[2].why
    assert {row.entry.method for board in boards(records) for row in board.rows} == {"a", "d"}


def test_where_no_record_knows_its_source_the_commit_speaks_for_it(made):
    records = [made("a", commit="1" * 40), made("b", commit="2" * 40), made("c", commit="2" * 40)]
    taken, ((record, why),) = parted(records)
    assert names(taken) == [("b", 0), ("c", 0)] and record == records[0]
    assert "11111111" in why and "22222222" in why


def test_a_source_that_agrees_is_the_same_at_another_commit(made):
    records = [made(name, commit=digit * 40, source=SOURCE) for name, digit in (("a", "1"), ("b", "2"))]
    assert parted(records) == (records, [])


@pytest.mark.parametrize("stage", ["finetune", "generate", "measure-fid"])
def test_a_stage_of_another_source_than_the_others_stands_apart_and_is_named(made, stage):
    records = [made(name, source=SOURCE) for name in ("a", "b")] + [made("c", source={**SOURCE, stage: "x"})]
    taken, ((record, why),) = parted(records)
    assert taken == records[:2] and record == records[2]
    assert [name for name in SOURCE if name in why] == [stage]


def test_methods_are_pruned_by_sources_of_their_own_and_the_seeds_of_one_by_the_same(made):
    other = {**SOURCE, "prune": "q"}
    records = [made("a", 0, source=SOURCE), made("a", 1, source=SOURCE), made("b", 0, source=other)]
    assert parted(records) == (records, [])
    taken, ((_, why),) = parted([*records, made("a", 2, source=other)])
    assert taken == records and "prune of a" in why


def test_records_that_do_not_know_their_source_stand_apart_from_those_that_do(made):
    records = [made("a"), made("b"), made("c", source=SOURCE)]
    taken, apart = parted(records)
    assert taken == records[2:] and len(apart) == 2


def test_what_is_never_compared_need_not_agree(made):
    records = [made("a", commit="1" * 40), made("b", commit="2" * 40, what={"dataset": "cc3m"})]
    assert parted(records) == (records, [])


def test_variants_do_not_outvote_what_is_ranked(make_record):
    """A table of one method's variants, made later, must not push its ranked record off the board."""
    plain = make_record("a", how={"source": {"prune": "old", "generate": "old"}})
    variants = [
        make_record(
            "a",
            seed,
            settings=["finetune.steps=7"],
            what={"finetune.steps": 7},
            how={"source": {"prune": "new", "generate": "new"}},
        )
        for seed in range(3)
    ]
    taken, apart = parted([plain, *variants])
    assert taken == [plain] and len(apart) == 3
