from __future__ import annotations

import math
import random
from statistics import fmean

import numpy as np
import pytest

from aptp_bench.core.intervals import student
from aptp_bench.records import Measurement
from aptp_bench.reporting.ranking.spread import SeedSpread, summary

NONE = SeedSpread(0.0, 0)


def measured(value: float, low: float | None = None, high: float | None = None, n: int = 100) -> Measurement:
    interval = None if low is None or high is None else (low, high)
    return Measurement(value=value, unit="u", better="lower", n=n, interval=interval)


def test_the_pooled_deviation_is_numpys():
    rng = np.random.default_rng(0)
    for _ in range(50):
        groups = [rng.normal(rng.normal(), 2.0, size=rng.integers(1, 6)).tolist() for _ in range(5)] + [[1.0, 3.0]]
        freedom = sum(len(values) - 1 for values in groups)
        squares = sum(float(np.var(values)) * len(values) for values in groups)
        found = SeedSpread.of(groups)
        assert found.freedom == freedom
        assert found.deviation == pytest.approx(math.sqrt(squares / freedom))
        assert found.half_width(4) == pytest.approx(student(freedom) * found.deviation / 2)


def test_one_seed_each_says_nothing_of_seeds():
    spread = SeedSpread.of([[1.0], [2.0]])
    assert spread == NONE and spread.half_width(1) == 0.0
    found = summary([measured(3.0, 2.5, 3.75)], spread)
    assert found.interval == pytest.approx((2.5, 3.75)) and found.basis == "prompts or runs"


def test_a_summary_holds_its_value_and_adds_both_doubts_in_quadrature():
    rng = random.Random(0)
    for _ in range(100):
        seeds = rng.randint(1, 4)
        values = [rng.gauss(3, 1) for _ in range(seeds)]
        below, above = rng.random(), rng.random()
        spread = SeedSpread(rng.random(), rng.randint(1, 9))
        found = summary([measured(v, v - below, v + above) for v in values], spread)
        half = spread.half_width(seeds)
        assert found.value == pytest.approx(fmean(values)) and found.seeds == seeds
        assert found.value - found.interval[0] == pytest.approx(math.hypot(below, half))
        assert found.interval[1] - found.value == pytest.approx(math.hypot(above, half))
        assert found.half_width == pytest.approx(sum(math.hypot(d, half) for d in (below, above)) / 2)
        assert found.basis == "seeds and prompts or runs"


def test_more_seeds_narrow_their_part_and_not_that_of_the_prompts():
    spread = SeedSpread(1.0, 6)
    one, many = (summary([measured(3.0, 2.0, 4.0)] * n, spread).half_width for n in (1, 10_000))
    assert one > many == pytest.approx(1.0, abs=1e-3)


def test_what_is_counted_has_an_interval_of_no_width_and_what_is_unknown_none():
    exact = summary([measured(3.0)], NONE, counted=True)
    assert summary([measured(3.0), measured(5.0)], SeedSpread(9.0, 4), counted=True).interval == (4.0, 4.0)
    assert exact.interval == (3.0, 3.0) and exact.basis == "a count" and exact.half_width == 0.0
    unknown = summary([measured(3.0)], NONE)
    assert unknown.interval is None and unknown.basis == "none" and unknown.half_width is None
    assert summary([measured(3.0), measured(5.0)], SeedSpread.of([[3.0, 5.0]])).basis == "seeds"


def test_an_interval_that_does_not_hold_its_value_never_turns_inside_out():
    found = summary([measured(3.0, 3.5, 4.0)], NONE)  # a bootstrap can miss
    assert found.interval == (3.0, 4.0)
