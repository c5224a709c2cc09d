"""Where functions of one number cross zero, many at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

STEPS = 100  # far more than any smooth function needs


def crossing(
    f: Callable[[NDArray[np.float64]], ArrayLike], low: ArrayLike, high: ArrayLike, tolerance: float = 1e-13
) -> NDArray[np.float64]:
    """x between low and high with f(x) = 0, element by element, f being continuous and of two signs at the ends.

    Regula falsi after Illinois: an end that stays for the second time has its value halved, so that it moves too.
    scipy.optimize has more of them, one number at a time, and takes longer to import than a whole leaderboard asks of it.
    """
    import numpy as np

    low, high = (np.array(end, dtype=np.float64) for end in np.broadcast_arrays(low, high))
    below, above = (np.array(f(end), dtype=np.float64) for end in (low, high))
    at, stays = high, np.zeros(low.shape)  # stays: 1 the lower end did, -1 the upper
    for _ in range(STEPS):
        before, at = at, high - above * (high - low) / (above - below)
        value = np.asarray(f(at), dtype=np.float64)
        upper = (value > 0) == (above > 0)
        below = np.where(upper, np.where(stays > 0, below / 2, below), value)
        above = np.where(upper, value, np.where(stays < 0, above / 2, above))
        low, high, stays = np.where(upper, low, at), np.where(upper, at, high), np.where(upper, 1, -1)
        near = tolerance * np.maximum(1.0, np.abs(at))
        if np.all((value == 0) | (np.abs(high - low) <= near) | (np.abs(at - before) <= near)):
            break
    return at
