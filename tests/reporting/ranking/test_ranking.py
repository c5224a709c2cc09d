from __future__ import annotations

import random
from typing import Any

import pytest

from aptp_bench.errors import ConfigError
from aptp_bench.plugins import Metric
from aptp_bench.reporting.ranking.entries import Entry, entries
from aptp_bench.reporting.ranking.ranking import check_comparable, is_ahead, places, ranking, rule, why_not
from aptp_bench.reporting.ranking.spread import SeedSpread, Summary


def summed(value: float, low: float | None = None, high: float | None = None, better: Any = "lower") -> Summary:
    return Summary(value, None if low is None or high is None else (low, high), "", 1, 10, "", better)


def some(rng: random.Random, better: str) -> list[Summary]:
    made = []
    for _ in range(rng.randint(1, 9)):
        value = rng.uniform(1, 10)
        ends = (value - rng.random() * 2, value + rng.random() * 2) if rng.random() < 0.9 else (None, None)
        made.append(summed(value, *ends, better=better))
    return made


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
            assert a.best is not None and a.worst is not None and 1 <= a.best <= a.worst <= len(found)
            for b, other in zip(found, summaries, strict=True):
                assert b.best is not None and b.worst is not None
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
    found = places([summed(5, 4, 6), summed(1, 0.5, 1.5), summed(5.5, 4.5, 6.5)])
    assert [p and p.rank for p in found] == ["2–3", "1", "2–3"]
    higher = places([summed(5, 4, 6, "higher"), summed(1, 0.5, 1.5, "higher")])
    assert [p and p.rank for p in higher] == ["1", "2"]


def test_a_chain_of_overlaps_is_ranges_and_not_one_great_tie():
    found = places([summed(1, 0, 2), summed(2.5, 1.5, 3.5), summed(4, 3, 5)])
    assert [p and p.rank for p in found] == ["1–2", "1–3", "2–3"]


def test_a_gap_that_says_nothing_is_a_tie_whatever_the_intervals():
    close = [summed(100, 99.9, 100.1), summed(101.2, 101.1, 101.3)]
    assert [p and p.rank for p in places(close, 0.013)] == ["1–2", "1–2"]
    assert [p and p.rank for p in places(close, 0.011)] == ["1", "2"]


def test_no_interval_puts_nobody_ahead_and_a_count_does():
    assert [p and p.rank for p in places([summed(1), summed(9)])] == ["1–2", "1–2"]
    assert [p and p.rank for p in places([summed(1, 1, 1), summed(9, 9, 9), summed(1, 1, 1)])] == ["1–2", "3", "1–2"]


def test_what_was_not_measured_has_no_place_and_what_has_no_direction_no_rank():
    found = places([None, summed(1, 0, 2)])
    assert found[0] is None and found[1] is not None and found[1].rank == "1"
    assert [p and p.rank for p in places([summed(1, 1, 1, "neither"), summed(2, 2, 2, "neither")])] == ["", ""]


def named(make_record: Any, **values: Any) -> list[Entry]:
    return entries([make_record(method, fid=value) for method, value in values.items()])


def test_fid_ties_by_its_own_rule(make_record):
    found = ranking(named(make_record, a=(3.0, 2.999, 3.001), b=(3.03, 3.029, 3.031), c=(3.2, 3.19, 3.21)), "fid")
    assert [p and p.rank for p in found] == ["1–2", "1–2", "3"]
    assert rule("fid").tie == 0.013 and rule("no_such_metric").tie == 0.0


def test_counted_metrics_rank_without_intervals(make_record):
    among = entries(
        [make_record("a", parameters=5.0), make_record("b", parameters=4.0), make_record("c", parameters=5.0)]
    )
    assert [p and p.rank for p in ranking(among, "parameters")] == ["2–3", "1", "2–3"]


def test_a_metric_that_is_missing_leaves_the_others_ranked(make_record):
    among = entries([make_record("a", fid=(3, 2, 4)), make_record("b", fid=None)])
    found = ranking(among, "fid")
    assert found[0] is not None and found[0].rank == "1" and found[1] is None


def test_seeds_of_others_widen_an_interval(make_record):
    records = [make_record("a", seed, fid=(3.0 + seed, 2.9 + seed, 3.1 + seed)) for seed in range(3)]
    among = entries([*records, make_record("b", fid=(5.0, 4.9, 5.1))])
    place = ranking(among, "fid")[1]
    assert place is not None and place.rank == "1–2" and place.summary.basis == "seeds and prompts or runs"
    tight = ranking(among, "fid", SeedSpread(0.0, 0))
    assert [p and p.rank for p in tight] == ["1", "2"]


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
        with pytest.raises(ConfigError, match=f"fid .*: {word} is "):
            ranking(entries(order), "fid")


def test_another_number_of_images_is_refused(make_record):
    other = make_record("b")
    other.results["fid"] = other.results["fid"].model_copy(update={"n": 100})
    with pytest.raises(ConfigError, match=r"n is 512 and 100"):
        check_comparable(entries([make_record("a"), other]), "fid")


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
