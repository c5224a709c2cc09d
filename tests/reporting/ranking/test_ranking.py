from __future__ import annotations

import itertools
import random
import re
from typing import Any

import pytest

from aptp_bench.plugins import Metric
from aptp_bench.reporting.ranking.boards import boards
from aptp_bench.reporting.ranking.entries import entries
from aptp_bench.reporting.ranking.ranking import places, rule, why_not
from aptp_bench.reporting.ranking.spread import Summary


def summed(value: float, better: Any = "lower") -> Summary:
    return Summary(value, None, "", 1, 10, "", better)


def ranks(decided: set[tuple[int, int]], *summaries: Summary | None) -> list[str | None]:
    return [place and place.rank for place in places(summaries, decided)]


def test_ranks_are_one_more_than_those_ahead_to_all_but_those_behind():
    rng = random.Random(0)
    for _ in range(200):
        n = rng.randint(1, 9)
        ahead = {(a, b) for a, b in itertools.combinations(rng.sample(range(n), n), 2) if rng.random() < 0.5}
        found = [place for place in places([summed(0.0)] * n, ahead) if place is not None]
        for at, place in enumerate(found):
            assert place.best == 1 + len({a for a, b in ahead if b == at})
            assert place.worst == n - len({b for a, b in ahead if a == at})
            assert 1 <= place.best <= place.worst <= n


def test_a_winner_is_first_alone_and_a_chain_of_doubts_is_no_great_tie():
    assert ranks({(1, 0), (1, 2)}, *[summed(0.0)] * 3) == ["2–3", "1", "2–3"]
    assert ranks({(0, 2)}, *[summed(0.0)] * 3) == ["1–2", "1–3", "2–3"]


def test_what_was_not_measured_has_no_place_and_what_has_no_direction_no_rank():
    assert ranks(set(), None, summed(1)) == [None, "1"]
    assert ranks({(0, 1)}, summed(1, "neither"), summed(2, "neither")) == ["", ""]


@pytest.mark.parametrize(
    ("metric", "values", "expected"),
    [
        ("fid", ((3.0, 2.999, 3.001), (3.03, 3.029, 3.031), (3.2, 3.19, 3.21)), ["1–2", "1–2", "3"]),
        ("parameters", (5.0, 4.0, 5.0), ["2–3", "1", "2–3"]),  # counted: no interval needed
    ],
)
def test_metrics_rank_by_their_own_rules(make_record, metric, values, expected):
    (board,) = boards([make_record(method, **{metric: value}) for method, value in zip("abc", values, strict=True)])
    assert [row.places[metric].rank for row in sorted(board.rows, key=lambda row: row.entry.method)] == expected
    assert rule("fid").tie == 0.013 and rule("no_such_metric").tie == 0.0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"world": "smoke"}, "world"),
        ({"what": {"budget": {"ratio": 0.78, "convention": "aptp"}}}, "budgets counted in"),
        ({"detail": {"fid": {"backbone": "other"}}}, "backbone"),
        ({"detail": {"fid": {"weights_sha256": "0" * 64}}}, "weights sha256"),
        ({"detail": {"fid": {"resize": "none"}}}, "resize"),
        ({"detail": {"fid": {"n_real": 7}}}, "n real"),
        ({"digests": {"val": "other"}}, "captions"),
        ({"what": {"sampling": {"steps": 5}}}, "images"),
    ],
)
def test_what_cannot_be_compared_is_refused_both_ways(make_record, change, word):
    records = [make_record("a"), make_record("b", **change)]
    for order in (records, records[::-1]):
        assert re.search(f"(a and b|b and a) .*: {word} is ", why_not(entries(order), "fid") or "")


def test_seeds_of_one_entry_are_named_as_such(make_record):
    gpu = {"detail": {"latency": {"device": "a GPU"}}}
    why = why_not(entries([make_record("a", 0), make_record("a", 1, **gpu)]), "latency") or ""
    assert "seeds 0 and 1 of a " in why and "a and a" not in why


def test_another_number_of_images_is_refused(make_record):
    other = make_record("b")
    other.results["fid"] = other.results["fid"].model_copy(update={"n": 100})
    assert "n is 512 and 100" in (why_not(entries([make_record("a"), other]), "fid") or "")


def test_a_fact_that_only_one_of_two_states_is_a_difference(make_record):
    silent = make_record("b")
    del silent.results["fid"].detail["n_real"]
    why = why_not(entries([make_record("a"), silent]), "fid")
    other = why_not(entries([silent, make_record("a")]), "fid")
    assert "n real is 512 and null" in why and "n real is null and 512" in other


def test_another_device_parts_latencies_and_not_fids(make_record):
    among = entries([make_record("a"), make_record("b", detail={"latency": {"device": "a GPU"}})])
    assert why_not(among, "fid") is None and "device is" in (why_not(among, "latency") or "")


def test_a_metric_of_a_stranger_has_its_own_rule(make_record, register):
    class Odd(Metric):
        """Odd."""

        name, unit, better, tie, needs = "odd", "", "lower", 0.5, frozenset()

        def __call__(self, evidence: Any) -> Any:
            return self.measured(0.0, n=1)

    register("metrics", "odd", Odd)
    assert rule("odd").tie == 0.5 and not rule("odd").counted
