from __future__ import annotations

import numpy as np
import pytest

from aptp_bench.errors import BudgetError
from aptp_bench.pruning.allocation import Curve, allocate

CUTS = (0.8, 0.65, 0.5, 0.35, 0.1)
FINE = tuple(np.linspace(0.02, 0.98, 49))


def power(factor: float, exponent: float, cuts: tuple[float, ...] = CUTS) -> Curve:
    """d(r) = factor (1 - r)^exponent, measured at `cuts`."""
    return Curve.through({cut: factor * (1 - cut) ** exponent for cut in cuts})


def worlds(n: int = 30) -> list[tuple[list[Curve], np.ndarray, float]]:
    """Kinds with rising, noisy, not always convex damages; their weights; a mean ratio."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(n):
        kinds = rng.integers(2, 8)
        damages = np.sort(rng.exponential(1.0, (kinds, len(CUTS))), axis=1)
        curves = [Curve.through(dict(zip(CUTS, row, strict=True))) for row in damages]
        made.append((curves, rng.uniform(0.1, 3.0, kinds), float(rng.uniform(0.15, 0.95))))
    return made


def test_the_mean_budget_is_spent_and_nothing_is_lost_by_it() -> None:
    for curves, weights, mean in worlds():
        found = allocate(curves, weights, mean)
        assert np.average(found.ratios, weights=weights) == pytest.approx(mean, abs=1e-9)
        assert 0.0 <= found.gain <= 1.0
        paid = [curve(ratio) for curve, ratio in zip(curves, found.ratios, strict=True)]
        assert found.damage == pytest.approx(np.average(paid, weights=weights))


def test_no_allocation_is_better() -> None:
    rng = np.random.default_rng(1)
    for curves, weights, mean in worlds():
        least = allocate(curves, weights, mean).damage
        for _ in range(50):
            ratios = rng.uniform(0.1, 1.0, len(curves))
            spare = mean - np.average(ratios, weights=weights)
            ratios = ratios + spare
            if ratios.min() >= 0.1 and ratios.max() <= 1.0:
                paid = [curve(ratio) for curve, ratio in zip(curves, ratios, strict=True)]
                assert np.average(paid, weights=weights) >= least - 1e-9


def test_kinds_that_are_alike_win_nothing() -> None:
    for curves, weights, mean in worlds():
        assert allocate([curves[0]] * len(curves), weights, mean).gain == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("mean", [0.5, 0.65, 0.8])
def test_quadratic_damage_wins_one_minus_harmonic_over_arithmetic_mean(mean: float) -> None:
    rng = np.random.default_rng(2)
    factors, weights = rng.uniform(0.5, 1.5, 6), rng.uniform(0.1, 1.0, 6)
    arithmetic, harmonic = np.average(factors, weights=weights), 1 / np.average(1 / factors, weights=weights)
    for cuts in (CUTS, FINE):
        found = allocate([power(factor, 2, cuts) for factor in factors], weights, mean)
        assert found.gain == pytest.approx(1 - harmonic / arithmetic, abs=1e-3)


def test_the_more_kinds_differ_the_more_is_won() -> None:
    gains = [allocate([power(1, 2), power(factor, 2)], [1, 1], 0.65).gain for factor in (1, 1.5, 2, 3)]
    assert gains == sorted(gains) and gains[0] == pytest.approx(0, abs=1e-9) and gains[-1] > 0.2


def test_harder_kinds_get_more() -> None:
    found = allocate([power(1, 2), power(2, 2), power(3, 2)], [3, 1, 2], 0.65)
    assert list(found.ratios) == sorted(found.ratios) and found.ratios[0] < 0.65 < found.ratios[-1]


@pytest.mark.parametrize("damages", [(1, 4, 5, 5.1, 5.2), (0, 0, 1, 1, 9), (-0.1, 0.2, 0.1, 0.4, 2)])
def test_a_curve_is_convex_and_never_above_what_was_measured(damages: tuple[float, ...]) -> None:
    curve = Curve.through(dict(zip(CUTS, damages, strict=True)))
    slopes = np.diff(curve.damages) / np.diff(curve.ratios)
    assert (np.diff(slopes) >= -1e-9).all() and curve(1.0) == 0.0
    assert all(curve(cut) <= damage + 1e-9 for cut, damage in zip(CUTS, damages, strict=True))


def test_rising_damage_stays_between_its_neighbours() -> None:
    curve = power(1.0, 6)  # flat, then steep: a parabola would dip below zero near the dense network
    assert curve.damages.min() >= 0.0 and (np.diff(curve.damages) <= 1e-12).all()


def test_what_was_not_measured_is_refused() -> None:
    with pytest.raises(BudgetError, match=r"0\.05"):
        allocate([power(1, 2)], [1], 0.05)
    for measured in ({0.5: 1.0}, {0.5: 1.0, 1.0: 0.0}):
        with pytest.raises(BudgetError, match="two or more"):
            Curve.through(measured)
