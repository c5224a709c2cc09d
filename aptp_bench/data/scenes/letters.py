"""A stroke font of our own: each letter is a few strokes on a grid two units wide and four high."""

from __future__ import annotations

from aptp_bench.data.scenes.canvas import RGB, Pen

# Points are written column-row: "00" is the upper left corner, "24" the lower right one.
STROKES: dict[str, tuple[str, ...]] = {
    "a": ("04 01 10 21 24", "02 22"),
    "c": ("20 00 04 24",),
    "e": ("20 00 04 24", "02 12"),
    "f": ("20 00 04", "02 12"),
    "h": ("00 04", "20 24", "02 22"),
    "i": ("10 14",),
    "l": ("00 04 24",),
    "m": ("04 00 12 20 24",),
    "n": ("04 00 24 20",),
    "o": ("00 20 24 04 00",),
    "p": ("04 00 20 22 02",),
    "r": ("04 00 20 22 02", "12 24"),
    "s": ("20 00 02 22 24 04",),
    "t": ("00 20", "10 14"),
    "v": ("00 14 20",),
    "x": ("00 24", "20 04"),
    "y": ("00 12 20", "12 14"),
}


def write(pen: Pen, word: str, ink: RGB, box: tuple[float, float, float, float], width: float) -> None:
    """Write a word of lower-case letters so that it fills `box` (left, top, right, bottom in local units)."""
    left, top, right, bottom = box
    step = (right - left) / len(word)
    for i, letter in enumerate(word):
        for stroke in STROKES[letter]:
            flat: list[float] = []
            for point in stroke.split():
                flat.append(left + (i + 0.14 + 0.36 * int(point[0])) * step)
                flat.append(top + int(point[1]) / 4 * (bottom - top))
            pen.line(ink, width, *flat)
