from __future__ import annotations

import random
import re
from typing import Any

import pytest

from aptp_bench.plugins import Metric
from aptp_bench.reporting.ranking.boards import boards
from aptp_bench.reporting.ranking.entries import entries
from aptp_bench.reporting.ranking.ranking import is_ahead, places, rule, why_not
from aptp_bench.reporting.ranking.spread import Summary


def summed(value: float, low: float | None = None, high: float | None = None, better: Any = "lower") -> Summary:
    return Summary(value, None if low is None or high is None else (low, high), "", 1, 10, "", better)


def some(rng: random.Random, better: str) -> list[Summary]:
    made = []
    for _ in range(rng.randint(1, 9)):
        value = rng.uniform(1, 10)
        ends = (value - rng.random() * 2, value + rng.random() * 2) if rng.random() < 0.9 else (None, None)
        made.append(summed(value, *ends, better=better))
    return made


def ranks(*summaries: Summary | None, gap: float = 0.0) -> list[str | None]:
    return [place and place.rank for place in places(summaries, gap)]


def overlap(one: Summary, other: Summary) -> bool:
    if one.interval is None or other.interval is None:
        return True
    return one.interval[0] <= other.interval[1] and other.interval[0] <= one.interval[1]


@pytest.mark.parametrize("better", ["lower", "higher"])
@pytest.mark.parametrize("gap", [0.0, 0.013, 0.3])
def test_overlapping_intervals_always_share_a_rank(better, gap):
    rng = random.Random(0)
    for _ in range(300):
        summaries = some(rng, better)
        found = [p for p in places(summaries, gap) if p is not None]
        for a, one in zip(found, summaries, strict=True):
            assert 1 <= a.best <= a.worst <= len(found)
            for b, other in zip(found, summaries, strict=True):
                if overlap(one, other):
                    assert max(a.best, b.best) <= min(a.worst, b.worst)
                elif gap == 0.0 and is_ahead(one, other):
                    assert a.best < b.best and a.worst < b.worst


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_the_order_of_the_entries_does_not_matter(better):
    rng = random.Random(1)
    for _ in range(100):
        summaries = some(rng, better)
        order = rng.sample(range(len(summaries)), len(summaries))
        straight = places(summaries, 0.05)
        assert places([summaries[i] for i in order], 0.05) == [straight[i] for i in order]


def test_a_winner_that_stands_apart_is_first_alone():
    assert ranks(summed(5, 4, 6), summed(1, 0.5, 1.5), summed(5.5, 4.5, 6.5)) == ["2–3", "1", "2–3"]
    assert ranks(summed(5, 4, 6, "higher"), summed(1, 0.5, 1.5, "higher")) == ["1", "2"]


def test_a_chain_of_overlaps_is_ranges_and_not_one_great_tie():
    assert ranks(summed(1, 0, 2), summed(2.5, 1.5, 3.5), summed(4, 3, 5)) == ["1–2", "1–3", "2–3"]


def test_a_gap_that_says_nothing_is_a_tie_whatever_the_intervals():
    close = [summed(100, 99.9, 100.1), summed(101.2, 101.1, 101.3)]
    assert ranks(*close, gap=0.013) == ["1–2", "1–2"]
    assert ranks(*close, gap=0.011) == ["1", "2"]


def test_no_interval_puts_nobody_ahead_and_a_count_does():
    assert ranks(summed(1), summed(9)) == ["1–2", "1–2"]
    assert ranks(summed(1, 1, 1), summed(9, 9, 9), summed(1, 1, 1)) == ["1–2", "3", "1–2"]


def test_what_was_not_measured_has_no_place_and_what_has_no_direction_no_rank():
    assert ranks(None, summed(1, 0, 2)) == [None, "1"]
    assert ranks(summed(1, 1, 1, "neither"), summed(2, 2, 2, "neither")) == ["", ""]


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
        assert re.search(f"fid .*: {word} is ", why_not(entries(order), "fid") or "")


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
