from __future__ import annotations

import math

import pytest
from scipy.optimize import brentq

from aptp_bench.core.roots import crossing

FUNCTIONS = [
    (lambda x: x - 0.25, 0.0, 1.0),
    (lambda x: math.exp(x) - 5, -30.0, 3.0),
    (lambda x: 1 / (1 + math.exp(-x)) - 0.9, -40.0, 40.0),
    (lambda x: -math.atan(1e3 * (x - 0.7)), 0.0, 1.0),
]


@pytest.mark.parametrize(("f", "low", "high"), FUNCTIONS)
def test_it_finds_what_scipy_finds(f, low, high):
    assert crossing(f, low, high) == pytest.approx(brentq(f, low, high, xtol=1e-14), rel=1e-9)


def test_it_asks_seldom():
    asked = []
    crossing(lambda x: asked.append(x) or math.tanh(x - 2), -30.0, 30.0)
    assert len(asked) < 40
