"""One sequential scale for shares of the dense MACs: light to dark blue, which needs no colour vision."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.colors import LinearSegmentedColormap, Normalize

MAP = LinearSegmentedColormap.from_list("macs", ("#eaf3fb", "#9ecae1", "#3d8dc4", "#0b4a8f", "#06264f"))
WHOLE = Normalize(0.0, 1.0)  # of what is kept: none to all
LIGHT, DARK = "#ffffff", "#10202f"  # numbers on a tone; not black, which a page makes its own colour of text


def tones(values: Sequence[float]) -> Normalize:
    """A scale from a little below the smallest value, so that the palest tone is never used up, to the largest."""
    low, high = min(values), max(values)
    room = max(high - low, 0.05)
    return Normalize(max(0.0, low - 0.15 * room), max(high, low + 0.05))


def on_tone(value: float, scale: Normalize) -> str:
    """The colour in which a number can be read on its tone."""
    red, green, blue, _ = MAP(float(scale(value)))
    return DARK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5 else LIGHT
