from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from aptp_bench.core.differences import LEVEL, holm
from aptp_bench.harness import replicates
from aptp_bench.records import Record, Replicates, save
from aptp_bench.reporting.ranking.boards import Board, boards
from aptp_bench.reporting.ranking.frame import load_records
from aptp_bench.reporting.ranking.pairs import Pair
from aptp_bench.reporting.ranking.tradeoff import Tradeoff

N = 512  # as the records of the fixture say


class World:
    """Records with their replicates: every method sees the same prompts, of which some are hard for all."""

    def __init__(self, make_record: Any) -> None:
        self.make, self.records, self.kept = make_record, list[Record](), dict[str, dict[str, Any]]()
        self.hard = 5 * np.random.default_rng(99).standard_normal(N)

    def add(self, method: str, worth: float, seed: int = 0, **given: Any) -> Record:
        """A record whose CLIP score is about 80 + worth; at other seeds it moves with all others."""
        rng = np.random.default_rng([seed, *method.encode()])
        scores = 80 + worth + self.hard + 0.3 * seed + 0.5 * rng.standard_normal(N)
        half = 1.96 * float(scores.std()) / N**0.5
        mean = float(scores.mean())
        record = self.make(method, seed, clip_score=(mean, mean - half, mean + half), **given)
        digest = f"{method}{seed}{len(self.records)}"
        record = record.model_copy(update={"replicates": Replicates(metrics=["clip_score"], sha256=digest)})
        self.records.append(record)
        self.kept[digest] = {"clip_score": scores}
        return record

    def board(self) -> Board:
        (found,) = boards(self.records, self.kept)
        return found


@pytest.fixture
def world(make_record: Any) -> World:
    return World(make_record)


def pairs(board: Board, metric: str = "clip_score") -> dict[str, Pair]:
    (column,) = (c for c in board.columns if c.metric == metric)
    return {f"{p.first.method}-{p.second.method}": p for p in column.pairs}


def ranks(board: Board, metric: str = "clip_score") -> dict[str, str]:
    return {row.entry.method: row.places[metric].rank for row in board.of("main")}


def test_pairs_tell_apart_what_intervals_cannot(world: World) -> None:
    for method, worth in (("a", 0.4), ("b", 0.2), ("c", 0.0)):
        world.add(method, worth)
    board = world.board()
    assert ranks(board) == {"a": "1", "b": "2", "c": "3"}
    pair = pairs(board)["a-b"]
    assert pair.unpaired == "" and pair.difference.n == N and pair.difference.value == pytest.approx(0.2, abs=0.1)
    world.kept.clear()
    assert set(ranks(world.board()).values()) == {"1–3"}
    assert "lost its replicates" in pairs(world.board())["a-b"].unpaired


def test_the_seeds_that_both_have_are_paired(world: World) -> None:
    for seed in range(3):
        world.add("a", 0.3, seed)
    for seed in (1, 2):  # all move by 0.3 a seed: unpaired, b would look as good as a
        world.add("b", 0.0, seed)
    pair = pairs(world.board())["a-b"]
    assert pair.difference.k == 2 and pair.difference.value == pytest.approx(0.3, abs=0.08)
    assert (
        pair.difference.of_seeds and pair.difference.freedom == 1 and not pair.decided
    )  # two seeds alone prove little


def test_runs_without_a_seed_in_common_are_paired_by_prompt(world: World) -> None:
    world.add("a", 0.0, 0)
    world.add("b", 0.0, 1)
    pair = pairs(world.board())["a-b"]
    assert (pair.difference.k, pair.difference.n, pair.unpaired) == (1, N, "")


def test_one_seed_speaks_of_prompts_only_unless_others_have_more(world: World) -> None:
    for method in "abcdef":
        world.add(method, 0.0)
    assert not any(pair.difference.of_seeds for pair in pairs(world.board()).values())
    for method in "abcde":
        world.add(method, 0.0, 1)
    found = pairs(world.board())
    assert all(pair.difference.of_seeds for pair in found.values())
    assert (found["a-b"].difference.k, found["a-f"].difference.k) == (2, 1)


def test_a_record_without_replicates_is_ranked_unpaired_and_said_so(world: World, make_record: Any) -> None:
    world.add("a", 0.0)
    world.records.append(make_record("old", clip_score=(60.0, 59.5, 60.5)))
    pair = pairs(world.board())["a-old"]
    assert pair.unpaired == "old kept no replicates" and pair.difference.n == 0
    assert pair.decided and ranks(world.board()) == {"a": "1", "old": "2"}


def test_replicates_of_another_length_are_none(world: World) -> None:
    world.add("a", 0.0)
    world.add("b", 0.0)
    first = next(iter(world.kept.values()))
    first["clip_score"] = first["clip_score"][:-1]
    assert pairs(world.board())["a-b"].unpaired


def test_holm_is_over_the_pairs_of_a_metric(world: World) -> None:
    rng = np.random.default_rng(1)
    for method in "abcdef":
        world.add(method, float(rng.uniform(0, 0.12)))
    found = list(pairs(world.board()).values())
    assert len(found) == 15 and [p.p for p in found] == pytest.approx(holm([p.difference.p for p in found]))
    assert any(p.difference.p < LEVEL < p.p for p in found)


def test_the_network_as_it_is_stands_beside_each_and_not_among_the_pairs(world: World) -> None:
    world.add("dense", 1.0, budget=1.0)
    world.add("a", 0.0)
    world.add("b", 1.0)
    board = world.board()
    (column,) = (c for c in board.columns if c.metric == "clip_score")
    assert len(column.pairs) == 1 and {(p.first.method, p.second.method) for p in column.beside} == {
        ("a", "dense"),
        ("b", "dense"),
    }
    assert {p.first.method: p.decided for p in column.beside} == {"a": True, "b": False}


def test_what_is_told_apart_is_counted(world: World) -> None:
    for method, worth in (("a", 2.0), ("b", 0.0), ("c", 0.0)):
        world.add(method, worth)
    board = world.board()
    assert board.pairs == 3 and board.separated["any"] == board.separated["clip_score"] == 2
    assert board.separated["fid"] == 0 and set(board.separated) == {"any", *(c.metric for c in board.contested)}


def test_a_pair_is_seen_from_both_sides(world: World) -> None:
    world.add("a", 2.0)
    world.add("b", 0.0)
    pair = pairs(world.board())["a-b"]
    won, lost = pair.seen_from(pair.first), pair.seen_from(pair.second)
    assert (won[0], lost[0]) == (1, -1) and won[1] == -lost[1] > 1.5


@pytest.mark.parametrize("gap", [0.012, 0.014])
def test_a_gap_that_says_nothing_is_undecided_however_sure(make_record: Any, gap: float) -> None:
    sure = [make_record(m, fid=(v, v - 1e-4, v + 1e-4)) for m, v in (("a", 3.0), ("b", 3.0 * (1 + gap)))]
    pair = pairs(boards(sure)[0], "fid")["a-b"]
    assert pair.p < 1e-6 and pair.decided == (gap > 0.013)


def test_unpaired_needs_the_facing_ends_and_an_interval(make_record: Any) -> None:
    """An interval that reaches far away from the other entry is no doubt of who is ahead."""
    near = [make_record("a", fid=(3.0, 1.0, 3.1)), make_record("b", fid=(3.5, 3.4, 9.0)), make_record("c", fid=9.0)]
    found = pairs(boards(near)[0], "fid")
    assert found["a-b"].decided and found["a-b"].order[0].method == "a"
    assert found["a-c"].p == found["b-c"].p == 1.0 and not found["a-c"].decided


def test_pairs_do_not_depend_on_the_order_of_records(world: World) -> None:
    for method, seed in itertools.product("abc", range(2)):
        world.add(method, ord(method) % 3 / 10, seed)
    straight = {frozenset(name): (p.p, p.decided) for name, p in pairs(world.board()).items()}
    world.records.reverse()
    turned = {frozenset(name): (p.p, p.decided) for name, p in pairs(world.board()).items()}
    assert turned.keys() == straight.keys()
    assert all(turned[name] == (pytest.approx(straight[name][0]), straight[name][1]) for name in straight)


def test_a_point_is_beaten_where_another_is_better_beyond_doubt_for_no_more(world: World) -> None:
    world.add("dense", 3.0, budget=1.0)
    world.add("a", 0.4, budget=0.78)
    world.add("b", 0.0, budget=0.78)
    world.add("c", 0.4, budget=0.5)
    group = boards(world.records, world.kept)[0].group
    beaten = {p.entry.method: p.beaten for p in Tradeoff.of(group.entries, "clip_score", pool=group).points}
    assert beaten == {"dense": False, "a": False, "b": True, "c": False}  # dense is better and costs more
    blind = Tradeoff.of(group.entries, "clip_score")  # by intervals alone, without the replicates
    assert not any(p.beaten for p in blind.points)
    assert blind.facts() != Tradeoff.of(group.entries, "clip_score", pool=group).facts()


def test_the_frame_has_each_records_gap_to_the_dense_network_of_its_seed(world: World, tmp_path: Any) -> None:
    for method, worth, seed in (("dense", 1.0, 0), ("dense", 1.0, 1), ("a", 0.0, 0), ("a", 0.0, 2)):
        record = world.add(method, worth, seed, budget=1.0 if method == "dense" else 0.78)
        own = tuple(world.kept[record.replicates.sha256]["clip_score"])
        found = record.results["clip_score"].model_copy(update={"replicates": own})
        content, facts = replicates.packed({"clip_score": found})
        path = save(record.model_copy(update={"replicates": facts}), tmp_path)
        replicates.path_of(path).parent.mkdir(exist_ok=True)
        replicates.path_of(path).write_bytes(content)
    frame = load_records(tmp_path).set_index(["method", "seed"])
    assert frame.clip_score_gap["dense", 0] == 0 and frame.clip_score_gap.isna()["a", 2]
    assert frame.clip_score_gap_low["a", 0] < -1.0 + 0.15 and frame.clip_score_gap_high["a", 0] < -0.85
    assert "fid_gap" not in frame
