"""A pen that draws flat shapes in an object's own coordinates, and the step from the large canvas to the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw

RGB = tuple[int, int, int]

SIZE = 32  # pixels a side of a finished picture
OVERSAMPLING = 4  # a box of 4x4 canvas pixels becomes one picture pixel: the antialiasing
SIDE = SIZE * OVERSAMPLING


@dataclass(frozen=True)
class Look:
    """What a drawing function may vary: colours, the variant, the written word and four rolls in [0, 1)."""

    tint: RGB
    shade: RGB
    light: RGB
    colour: str
    setting: str
    variant: str
    word: str
    rolls: tuple[float, float, float, float]


class Pen:
    """Draws in local coordinates: x and y in [-1, 1], y downwards, mirrored where `flip` is set."""

    def __init__(self, canvas: Image.Image, x: float, y: float, size: float, flip: bool = False) -> None:
        """Put the local origin at canvas pixel (x, y); one local unit is `size` canvas pixels."""
        self._draw = ImageDraw.Draw(canvas)
        self._x, self._y, self._size = x, y, size
        self._across = -size if flip else size

    def _points(self, flat: tuple[float, ...]) -> list[tuple[float, float]]:
        x, y, across, size = self._x, self._y, self._across, self._size
        return [(x + across * a, y + size * b) for a, b in zip(flat[::2], flat[1::2], strict=True)]

    def poly(self, fill: RGB, *flat: float) -> None:
        """Fill the polygon x0, y0, x1, y1, ..."""
        self._draw.polygon(self._points(flat), fill=fill)

    def box(self, fill: RGB, left: float, top: float, right: float, bottom: float) -> None:
        """Fill an upright rectangle."""
        (x0, y0), (x1, y1) = self._points((left, top, right, bottom))
        self._draw.rectangle((min(x0, x1), y0, max(x0, x1), y1), fill=fill)

    def oval(self, fill: RGB, x: float, y: float, across: float, down: float | None = None) -> None:
        """Fill an ellipse with centre (x, y) and radii `across` and `down` (equal when `down` is left out)."""
        down = across if down is None else down
        cx, cy = self._x + self._across * x, self._y + self._size * y
        rx, ry = self._size * across, self._size * down
        self._draw.ellipse((cx - rx, cy - ry, cx + rx, cy + ry), fill=fill)

    def pie(self, fill: RGB, x: float, y: float, radius: float, start: float, end: float) -> None:
        """Fill the part of a disc between two angles in degrees, clockwise from the right."""
        if self._across < 0:
            start, end = 180 - end, 180 - start
        cx, cy, r = self._x + self._across * x, self._y + self._size * y, self._size * radius
        self._draw.pieslice((cx - r, cy - r, cx + r, cy + r), start, end, fill=fill)

    def line(self, fill: RGB, width: float, *flat: float) -> None:
        """Draw a line of the given local width with round ends and joints."""
        points = self._points(flat)
        r = max(self._size * width / 2, 1.0)
        self._draw.line(points, fill=fill, width=max(round(2 * r), 1))
        for x, y in points:
            self._draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)


Artist = TypeVar("Artist", bound=Callable[..., None])


def by_name(*artists: Artist) -> dict[str, Artist]:
    """Drawing functions under the words that captions have for what they draw."""
    return {artist.__name__.lstrip("_").replace("_", " "): artist for artist in artists}


def shrink(canvas: Image.Image) -> np.ndarray:
    """Average boxes of canvas pixels. Returns uint8 [32, 32, 3]."""
    return np.array(canvas.reduce(OVERSAMPLING), dtype=np.uint8)
