"""The eight colours that captions name, and small steps away from them."""

from __future__ import annotations

from aptp_bench.data.scenes.canvas import RGB

NAMED: dict[str, RGB] = {
    "red": (214, 34, 38),
    "yellow": (250, 208, 30),
    "green": (40, 160, 60),
    "blue": (36, 88, 214),
    "pink": (248, 120, 180),
    "brown": (132, 78, 38),
    "black": (28, 28, 32),
    "white": (246, 246, 246),
}
COLOURS: tuple[str, ...] = (*NAMED, "none")

INK: RGB = (30, 30, 36)
PAPER: RGB = (250, 250, 250)
SKIN: tuple[RGB, ...] = ((244, 204, 170), (222, 168, 124), (150, 98, 62))
HAIR: dict[str, RGB] = {"dark": (38, 28, 26), "brown": (112, 64, 30), "blonde": (240, 206, 96), "red": (190, 70, 26)}


def blend(a: RGB, b: RGB, share: float) -> RGB:
    """The colour `share` of the way from a to b."""
    red, green, blue = (round(start + (end - start) * share) for start, end in zip(a, b, strict=True))
    return red, green, blue


def darker(colour: RGB, share: float = 0.35) -> RGB:
    """Towards black."""
    return blend(colour, (0, 0, 0), share)


def lighter(colour: RGB, share: float = 0.45) -> RGB:
    """Towards white."""
    return blend(colour, (255, 255, 255), share)


def jitter(colour: RGB, roll: float) -> RGB:
    """Shift the brightness by up to eight levels; roll in [0, 1)."""
    step = round((roll - 0.5) * 16)
    red, green, blue = (min(max(level + step, 0), 255) for level in colour)
    return red, green, blue
