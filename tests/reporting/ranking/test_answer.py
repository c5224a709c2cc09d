from __future__ import annotations

from typing import Any

import pytest

from aptp_bench.core.differences import LEVEL
from aptp_bench.records import Record
from aptp_bench.reporting.pages import answers
from aptp_bench.reporting.ranking.answer import MARGIN, Answer, Lead, share_of_dense
from aptp_bench.reporting.ranking.boards import Board, boards
from tests.reporting.ranking.test_pairs import World


@pytest.fixture
def world(make_record: Any) -> World:
    """Of which CLIP score is the first metric: it has replicates, and no record has an FID."""
    return World(lambda *args, **given: make_record(*args, **{"fid": None, **given}))


def answer(board: Board) -> Answer:
    found = Answer.of(board)
    assert found is not None
    return found


def methods(among: Any) -> list[str]:
    return sorted(entry.method for entry in among)


def whole(world: World, *names: str) -> None:
    """Make those methods keep all their parameters."""
    for at, record in enumerate(world.records):
        if record.what.method in names:
            kept = record.parameters.model_copy(update={"per_image": record.parameters.dense})
            world.records[at] = record.model_copy(update={"parameters": kept})


def test_leaders_are_those_that_nobody_is_ahead_of(world: World) -> None:
    for method, worth in (("a", 2.0), ("b", 2.0), ("c", 0.0), ("d", -2.0)):
        world.add(method, worth)
    board = world.board()
    lead = answer(board).lead
    assert methods(lead.leaders) == ["a", "b"] and methods(lead.others) == ["c", "d"]
    decided = [p for p in lead.column.pairs if p.order and p.order[0].method in "ab" and p.order[1].method in "cd"]
    assert len(decided) == 4 and lead.doubt == max(pair.p for pair in decided) <= LEVEL
    assert "beyond doubt" in answers.leading(lead) and "undecided" in answers.leading(lead)


def test_equals_have_no_leader_in_words(world: World) -> None:
    for method in "abc":
        world.add(method, 0.0)
    found = answer(world.board())
    assert methods(found.lead.leaders) == ["a", "b", "c"] and not found.lead.others and found.lead.doubt is None
    assert "beyond doubt" not in answers.verdict(found) and "no two" in answers.verdict(found)


def test_a_leader_that_is_not_ahead_of_each_other_is_not_said_to_be(make_record: Any) -> None:
    """c is behind a alone: b is not told apart from it."""
    made = [("a", (3.0, 2.9, 3.1)), ("b", (3.1, 1.0, 5.0)), ("c", (4.0, 3.9, 4.1))]
    (board,) = boards([make_record(method, fid=fid) for method, fid in made])
    lead = answer(board).lead
    assert methods(lead.leaders) == ["a", "b"] and methods(lead.others) == ["c"] and lead.doubt is None
    assert "each ahead" not in answers.leading(lead)


def test_nobody_leads_where_each_is_behind_another(world: World) -> None:
    """Each two have one seed in common, always another one, and there the first is ahead of the second."""
    for first, second, seed in (("a", "b", 0), ("b", "c", 1), ("c", "a", 2)):
        world.add(first, 2.0, seed)
        world.add(second, 0.0, seed)
    found = answer(world.board())
    assert found.lead.leaders == () and methods(found.lead.others) == ["a", "b", "c"]
    assert "nobody leads" in answers.verdict(found) and "p ≤" not in answers.verdict(found)
    assert all(answers.names(lead.leaders) and "nobody is ahead" not in answers.how_sure(lead) for lead in found.leads)


def test_networks_that_lost_parameters_have_leaders_of_their_own(world: World) -> None:
    for method, worth in (("a", 4.0), ("b", 2.0), ("c", 0.0)):
        world.add(method, worth)
    assert answer(world.board()).pruned is None  # all lost some
    whole(world, "a")
    found = answer(world.board())
    assert found.pruned is not None and methods(found.pruned.leaders) == ["b"] and methods(found.lead.leaders) == ["a"]


def test_a_lead_counts_only_those_that_were_measured(make_record: Any) -> None:
    made = [make_record("a", fid=(3.0, 2.9, 3.1)), make_record("b", fid=(4.0, 3.9, 4.1)), make_record("c", fid=None)]
    (board,) = boards(made)
    lead = Lead.of(board.contested[0], [row.entry for row in board.of("main")])
    assert methods([*lead.leaders, *lead.others]) == ["a", "b"]


def near(world: World, **worth: float) -> Answer:
    """The answer of a board of methods whose CLIP scores are 80 + worth, beside dense at 80."""
    world.add("dense", 0.0, budget=1.0)
    for method, value in worth.items():
        world.add(method, value)
    return answer(world.board())


def test_a_loss_is_a_share_of_dense_with_the_end_that_is_worse(world: World) -> None:
    found = near(world, a=-0.8, b=-40.0)
    by_method = {loss.entry.method: loss for loss in found.losses}
    assert by_method["a"].value == pytest.approx(0.01, abs=0.003) and by_method["b"].value == pytest.approx(
        0.5, abs=0.01
    )
    column = found.lead.column
    (pair,) = [pair for pair in column.beside if pair.first.method == "a"]
    dense = found.board.of("reference")[0].places[column.metric].summary.value
    assert by_method["a"].most == pytest.approx((-pair.difference.value + pair.difference.reach(LEVEL / 2)) / dense)
    assert by_method["a"].most > -pair.difference.interval[0] / dense  # together is wider than alone
    assert found.cheapest is by_method["a"] and "10 %" in answers.verdict(found)


def test_the_cheapest_is_by_macs_and_only_of_those_within_the_margin(world: World) -> None:
    found = near(world, a=-0.8, b=-0.8, c=-40.0)
    cost = {"a": 0.78, "b": 0.7, "c": 0.5}
    for at, record in enumerate(world.records):
        if record.what.method in cost:
            counted = record.macs["exact"].model_copy(update={"ratio": cost[record.what.method]})
            world.records[at] = record.model_copy(update={"macs": {**record.macs, "exact": counted}})
    found = answer(world.board())
    assert found.cheapest is not None and found.cheapest.entry.method == "b"
    assert [loss.entry.method for loss in found.losses] == ["c", "b", "a"]


def test_where_none_is_within_the_margin_the_nearest_is_named(world: World) -> None:
    found = near(world, a=-20.0, b=-40.0)
    assert found.cheapest is None and found.nearest is not None and found.nearest.most > MARGIN
    assert found.nearest.entry.method == "a" and "none is shown" in answers.verdict(found)


def test_without_pairs_nothing_is_said_of_dense(make_record: Any) -> None:
    made: list[Record] = [make_record("dense", budget=1.0), make_record("a"), make_record("b")]
    found = answer(boards(made)[0])
    assert found.losses == () and "dense" not in answers.verdict(found)


def test_what_is_not_ranked_has_no_answer(make_record: Any) -> None:
    assert Answer.of(boards([make_record("a", world="smoke"), make_record("b", world="smoke")])[0]) is None
    assert Answer.of(boards([make_record("a")])[0]) is None


def test_one_seed_is_said(world: World) -> None:
    for method in "ab":
        world.add(method, 0.0)
    assert answers.caveat(answer(world.board()))
    for method in "ab":
        world.add(method, 0.0, 1)
    assert not answers.caveat(answer(world.board()))


def test_what_is_not_paired_speaks_of_seeds_where_its_interval_does(make_record: Any) -> None:
    several = [make_record(method, seed, fid=(3.0 + seed / 9, 2.9, 3.4)) for method in "ab" for seed in (0, 1)]
    assert not answers.caveat(answer(boards(several)[0]))
    assert answers.caveat(answer(boards(several[::2])[0]))


def test_a_share_of_dense_needs_a_dense_that_was_measured_alike_and_is_not_zero(make_record: Any) -> None:
    gpu = {"detail": {"latency": {"device": "a GPU"}}}
    dense = make_record("dense", budget=1.0, fid=(2.0, 1.5, 2.5), cmmd=(0.01, -0.01, 0.03), **gpu)
    (board,) = boards([dense, make_record("a", fid=(5.0, 4.5, 5.5)), make_record("b")])
    row = next(row for row in board.rows if row.entry.method == "a")
    shares = {column.metric: share_of_dense(board, row, column) for column in board.columns}
    assert shares["fid"] == pytest.approx(2.5)
    assert shares["cmmd"] is None and shares["latency"] is None
