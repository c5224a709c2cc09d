from __future__ import annotations

import random
from typing import Any

import pytest

from aptp_bench.records import Measurement
from aptp_bench.reporting.ranking.boards import ALONE, Board, boards, main_board
from aptp_bench.reporting.ranking.entries import entries
from aptp_bench.reporting.ranking.groups import measured_alike


def some(make_record: Any) -> list[Any]:
    return [
        make_record("dense", budget=1.0, fid=(2.0, 1.9, 2.1)),
        make_record("a", fid=(3.0, 2.9, 3.1)),
        make_record("b", fid=(2.5, 2.4, 2.6)),
        make_record("c", fid=(9.0, 1.0, 17.0)),
        make_record("a", settings=["finetune.steps=38"], what={"finetune.steps": 38}, fid=(1.0, 0.9, 1.1)),
        make_record("a", budget=0.5, fid=(4.0, 3.9, 4.1)),
    ]


def labels(board: Board, kind: Any) -> list[str]:
    return [row.entry.label for row in board.of(kind)]


def ranks(board: Board, metric: str = "fid") -> dict[str, str]:
    return {row.entry.label: row.places[metric].rank for row in board.rows if metric in row.places}


def test_a_board_ranks_its_budget_and_nothing_else(make_record):
    full, half = boards(some(make_record))
    assert (full.name, half.name) == ("0.78exact", "0.5exact")
    assert labels(full, "main") == ["b", "c", "a"]  # by the best rank, then by the value
    assert ranks(full) == {"dense": "", "b": "1–2", "c": "1–3", "a": "2–3", "a finetune.steps=38": ""}
    assert labels(half, "main") == ["a"] and labels(half, "variant") == []


def test_the_reference_stands_on_every_board_and_is_never_ranked(make_record):
    for convention in ("exact", "aptp"):
        dense = make_record("dense", what={"budget": {"ratio": 1.0, "convention": convention}})
        for board in boards([dense, make_record("a"), make_record("b"), make_record("a", budget=0.5)]):
            assert labels(board, "reference") == ["dense"] and set(labels(board, "main")) <= {"a", "b"}
            assert ranks(board)["dense"] == ""


def test_a_changed_reference_is_a_variant(make_record):
    other = make_record("dense", budget=1.0, settings=["finetune.steps=38"], what={"finetune.steps": 38})
    (board,) = boards([make_record("dense", budget=1.0), other, make_record("a")])
    assert labels(board, "reference") == ["dense"] and labels(board, "variant") == ["dense finetune.steps=38"]


def test_the_reference_alone_has_a_board_without_ranks(make_record):
    (board,) = boards([make_record("dense", budget=1.0)])
    assert labels(board, "reference") == ["dense"] and not board.of("main")
    assert {column.unranked for column in board.columns} == {ALONE} and main_board([board]) is None


@pytest.mark.parametrize(
    "change",
    [
        {"world": "paper"},
        {"what": {"dataset": "cc3m"}},
        {"what": {"model": "other"}},
        {"digests": {"model": "other"}},
        {"what": {"sampling.steps": 5}},
        {"digests": {"val": "other"}},
        {"what": {"backbones.inception": "other"}},
        {"what": {"budget": {"ratio": 0.78, "convention": "aptp"}}},
    ],
)
def test_what_was_asked_something_else_has_its_own_board(make_record, change):
    found = boards([make_record("a"), make_record("b"), make_record("c", **change)])
    assert sorted(sorted(labels(board, "main")) for board in found) == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    ("change", "word"), [({"world": "smoke"}, "smoke"), ({"what": {"weights": "random"}}, "random")]
)
def test_smoke_and_noise_are_never_ranked(make_record, change, word):
    (board,) = boards([make_record(method, fid=value, **change) for method, value in (("b", 1.0), ("a", 9.0))])
    assert word in board.group.unranked and set(ranks(board).values()) == {""}
    assert labels(board, "main") == ["a", "b"]  # by name: an order by value would be a ranking
    assert main_board([board]) is None


def test_a_metric_measured_in_two_ways_is_not_ranked_and_says_why(make_record):
    gpu = {"detail": {"latency": {"device": "a GPU"}}, "latency": (0.1, 0.09, 0.11)}
    (board,) = boards([make_record("dense", budget=1.0, **gpu), make_record("a"), make_record("b", **gpu)])
    by_name = {column.metric: column for column in board.columns}
    assert "device is" in by_name["latency"].unranked and "a GPU" in by_name["latency"].unranked
    assert by_name["fid"].unranked == "" and set(ranks(board, "latency").values()) == {""}
    assert {row.entry.label: row.notes for row in board.rows} == {
        "dense": {"latency": "device a GPU"},
        "a": {},
        "b": {"latency": "device a GPU"},
    }


def test_seeds_measured_otherwise_are_not_averaged(make_record):
    slow, fast = (
        make_record("a", 0, latency=1.0),
        make_record("a", 1, latency=0.1, detail={"latency": {"device": "a GPU"}}),
    )
    (board,) = boards([slow, fast])
    summary = board.rows[0].places["latency"].summary
    assert summary.value == 1.0 and summary.seeds == 1 and board.rows[0].places["fid"].summary.seeds == 2


def test_a_metric_that_some_lack_is_ranked_among_the_others(make_record):
    (board,) = boards(
        [make_record("a", fid=(1, 0.9, 1.1)), make_record("b", fid=(2, 1.9, 2.1)), make_record("c", fid=None)]
    )
    assert ranks(board) == {"a": "1", "b": "2"} and labels(board, "main") == ["a", "b", "c"]


def test_the_budget_divides_no_group(make_record):
    (board,) = boards([make_record("a"), make_record("b")])
    assert [c.metric for c in board.columns][:2] == ["fid", "clip_score"]
    assert [c.metric for c in board.columns][-3:] == ["latency", "parameters", "peak_memory"]  # macs: the budget's


def test_boards_do_not_depend_on_the_order_of_records(make_record):
    records = [*some(make_record), make_record("d", fid=None), make_record("a", 1, fid=(3.3, 3.2, 3.4))]
    straight = [[(row.entry.label, row.kind, row.places) for row in board.rows] for board in boards(records)]
    rng = random.Random(0)
    for _ in range(5):
        rng.shuffle(records)
        assert [
            [(row.entry.label, row.kind, row.places) for row in board.rows] for board in boards(records)
        ] == straight


def test_the_spread_over_seeds_is_pooled_over_the_group(make_record):
    repeated = [make_record("a", seed, fid=(3.0 + seed / 10, 3.0, 3.5)) for seed in range(3)]
    full, half = boards([*repeated, make_record("b"), make_record("b", budget=0.5)])
    alone, (same,) = half.rows[0].places["fid"].summary, [r for r in full.rows if r.entry.method == "b"]
    assert alone.basis == "seeds and prompts or runs" and alone.interval == same.places["fid"].summary.interval
    (unrepeated,) = boards([make_record("b", budget=0.5)])
    width = unrepeated.rows[0].places["fid"].summary.half_width
    assert width is not None and alone.half_width is not None and alone.half_width > width + 0.01


def test_ranks_use_the_spread_of_the_whole_group(make_record):
    repeated = [make_record("a", seed, budget=0.5, fid=(3.0 + seed, 2.9, 3.1)) for seed in range(3)]
    near = [make_record("a", fid=(3.0, 2.9, 3.1)), make_record("b", fid=(4.0, 3.9, 4.1))]
    assert ranks(boards(near)[0]) == {"a": "1", "b": "2"}
    assert ranks(boards([*near, *repeated])[0]) == {"a": "1–2", "b": "1–2"}


@pytest.mark.parametrize(("metric", "order"), [("fid", ["c", "b", "a"]), ("clip_score", ["a", "b", "c"])])
def test_entries_of_one_rank_stand_by_their_values(make_record, metric, order):
    other = {"fid": None} if metric != "fid" else {}
    values = {"a": 9.0, "b": 8.0, "c": 7.0}
    (board,) = boards([make_record(m, **{metric: (v, 0.0, 20.0)}, **other) for m, v in values.items()])
    assert board.first_ranked is not None and board.first_ranked.metric == metric
    assert set(ranks(board, metric).values()) == {"1–3"} and labels(board, "main") == order


def test_values_are_shown_to_two_digits_of_their_doubt(make_record):
    (board,) = boards(
        [make_record("a", fid=(3.0, 2.6, 3.4), cmmd=(0.02, 0.01, 0.03)), make_record("b", fid=(3.0, 2.0, 4.0))]
    )
    shown = {column.metric: column.decimals for column in board.columns}
    assert shown["fid"] == 2 and shown["cmmd"] == 3 and shown["parameters"] == 3


def test_the_main_board_is_the_leanest_of_those_nearly_as_full_as_the_fullest(make_record):
    full = [make_record(method, budget=0.64) for method in "abcdef"]
    nearly = [make_record(method, budget=0.5) for method in "abcde"]
    few = [make_record(method, budget=0.35) for method in "ab"]
    assert main_board(boards([*few, *full, *nearly])).name == "0.5exact"


def test_the_main_board_is_of_the_first_world(make_record):
    mini = [make_record(method) for method in "abcd"]
    paper = [make_record(method, world="paper") for method in "ab"]
    fuller = [make_record(method, budget=0.5, world="paper") for method in "abc"]
    chosen = main_board(boards([*mini, *paper, *fuller]))
    assert chosen is not None and (chosen.group.world, chosen.name) == ("paper", "0.5exact")
    assert main_board([]) is None


def test_the_largest_group_that_was_measured_alike(make_record):
    gpu = {"detail": {"latency": {"device": "a GPU"}}}
    among = entries([make_record("a", **gpu), make_record("b"), make_record("c"), make_record("d", latency=None)])
    assert [entry.method for entry in measured_alike(among, "latency")] == ["b", "c"]
    assert measured_alike(among, "no_such_metric") == []


def test_fidelity_of_the_reference_is_a_scale_beside_the_ranks_and_says_so(make_record):
    def faithful(method, value, against, n=512, **given):
        record = make_record(method, **given)
        found = Measurement(value=value, unit="", better="higher", n=n, detail={"against": against})
        return record.model_copy(update={"results": {**record.results, "ssim": found}})

    dense = faithful("dense", 0.3, "dense from other noise", n=128, budget=1.0)
    (board,) = boards([dense, faithful("a", 0.8, "dense"), faithful("b", 0.7, "dense")])
    (column,) = [column for column in board.columns if column.metric == "ssim"]
    assert column.rule.quality and not column.unranked
    (reference,) = board.of("reference")
    assert "other noise" in reference.notes["ssim"] and reference.places["ssim"].best is None
    assert not any("ssim" in row.notes for row in board.of("main"))
