from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

from aptp_bench.core.roots import crossing

FUNCTIONS = [
    (lambda x: x - 0.25, 0.0, 1.0),
    (lambda x: np.exp(x) - 5, -30.0, 3.0),
    (lambda x: 1 / (1 + np.exp(-x)) - 0.9, -40.0, 40.0),
    (lambda x: -np.arctan(1e3 * (x - 0.7)), 0.0, 1.0),
]


@pytest.mark.parametrize(("f", "low", "high"), FUNCTIONS)
def test_it_finds_what_scipy_finds(f, low, high):
    assert crossing(f, low, high) == pytest.approx(brentq(f, low, high, xtol=1e-14), rel=1e-9)


def test_each_of_many_is_found_as_if_alone():
    wanted = np.array([-3.0, 0.25, 29.0])
    found = crossing(lambda x: np.arctan(x - wanted), np.full(3, -30.0), np.full(3, 30.0))
    assert found == pytest.approx(wanted, abs=1e-9)
    alone = [float(crossing(lambda x, w=w: np.arctan(x - w), -30.0, 30.0)) for w in wanted]
    assert found.tolist() == pytest.approx(alone, abs=1e-12)


def test_it_asks_seldom():
    asked = []
    crossing(lambda x: asked.append(x) or np.tanh(x - 2), -30.0, 30.0)
    assert len(asked) < 40
