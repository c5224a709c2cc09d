"""Where a function of one number crosses zero."""

from __future__ import annotations

from collections.abc import Callable

STEPS = 100  # far more than any smooth function needs


def crossing(f: Callable[[float], float], low: float, high: float, tolerance: float = 1e-13) -> float:
    """x between low and high with f(x) = 0, f being continuous and of two signs at the ends.

    Regula falsi after Illinois: an end that stays for the second time has its value halved, so that it moves too.
    scipy.optimize has more of them, and takes longer to import than a whole leaderboard asks of it.
    """
    below, above, stays = f(low), f(high), 0
    for _ in range(STEPS):
        at = high - above * (high - low) / (above - below)
        value = f(at)
        if value == 0 or abs(high - low) <= tolerance * max(1.0, abs(at)):
            return at
        if (value > 0) == (above > 0):
            below, stays = (below / 2 if stays > 0 else below), 1
            moved, high, above = abs(high - at), at, value
        else:
            above, stays = (above / 2 if stays < 0 else above), -1
            moved, low, below = abs(low - at), at, value
        if moved <= tolerance * max(1.0, abs(at)):
            return at
    return at
