"""Animals: one function each, feet at y = 1, facing right."""

from __future__ import annotations

from aptp_bench.data.scenes.canvas import RGB, Look, Pen, by_name
from aptp_bench.data.scenes.palette import INK, PAPER, darker


def _legs(pen: Pen, fill: RGB, top: float, width: float, *places: float) -> None:
    for x in places:
        pen.box(fill, x - width / 2, top, x + width / 2, 1.0)


def elephant(pen: Pen, look: Look) -> None:
    """Grey, large round body, ear, trunk and tusk."""
    _legs(pen, look.shade, 0.2, 0.26, -0.5, 0.1)
    _legs(pen, look.tint, 0.2, 0.26, -0.75, 0.36)
    pen.oval(look.tint, -0.2, -0.05, 0.78, 0.55)
    pen.line(look.shade, 0.08, -0.95, -0.1, -1.0, 0.35)
    pen.oval(look.tint, 0.52, -0.4, 0.38, 0.38)
    pen.line(look.tint, 0.24, 0.76, -0.3, 0.9, 0.1, 0.86, 0.6)
    pen.poly(PAPER, 0.62, -0.08, 0.76, -0.04, 1.0, 0.22)
    pen.oval(look.shade, 0.25, -0.38, 0.26, 0.34)
    pen.oval(INK, 0.66, -0.48, 0.07)


def giraffe(pen: Pen, look: Look) -> None:
    """Tall, yellow with brown spots, a long neck."""
    _legs(pen, look.shade, 0.3, 0.13, -0.42, 0.12)
    _legs(pen, look.tint, 0.3, 0.13, -0.56, 0.26)
    pen.oval(look.tint, -0.15, 0.22, 0.52, 0.28)
    pen.poly(look.tint, 0.02, 0.2, 0.36, 0.2, 0.56, -0.8, 0.34, -0.8)
    pen.poly(look.tint, 0.3, -0.72, 0.36, -0.95, 0.6, -0.9, 0.9, -0.68, 0.86, -0.56, 0.5, -0.6)
    pen.line(look.shade, 0.07, 0.42, -0.9, 0.4, -1.05)
    brown = (150, 84, 30)
    for x, y in ((-0.45, 0.14), (-0.2, 0.3), (-0.12, 0.06), (0.12, 0.24), (0.26, -0.05), (0.32, -0.32), (0.42, -0.58)):
        pen.oval(brown, x, y, 0.1)
    pen.oval(INK, 0.6, -0.77, 0.05)


def zebra(pen: Pen, look: Look) -> None:
    """White with black stripes."""
    _legs(pen, (200, 200, 200), 0.2, 0.14, -0.46, 0.22)
    _legs(pen, PAPER, 0.2, 0.14, -0.66, 0.4)
    pen.oval(PAPER, -0.12, 0.05, 0.7, 0.38)
    pen.poly(PAPER, 0.2, 0.1, 0.6, 0.1, 0.82, -0.62, 0.5, -0.72)
    pen.poly(PAPER, 0.5, -0.72, 0.74, -0.8, 1.0, -0.42, 0.9, -0.3, 0.6, -0.5)
    pen.poly(INK, 0.16, -0.2, 0.3, -0.1, 0.6, -0.8, 0.46, -0.85)
    for x in (-0.68, -0.4, -0.12, 0.16):
        pen.poly(INK, x, -0.3, x + 0.13, -0.3, x + 0.09, 0.38, x + 0.03, 0.38)
    pen.line(INK, 0.11, 0.36, -0.05, 0.64, 0.02)
    pen.line(INK, 0.11, 0.48, -0.36, 0.72, -0.28)
    pen.oval(INK, 0.96, -0.38, 0.09)
    pen.line(INK, 0.07, -0.8, -0.05, -0.92, 0.4)


def cow(pen: Pen, look: Look) -> None:
    """Box-shaped body with patches, horns and a pink muzzle."""
    _legs(pen, look.shade, 0.3, 0.16, -0.5, 0.24)
    _legs(pen, look.tint, 0.3, 0.16, -0.7, 0.42)
    pen.box(look.tint, -0.8, -0.4, 0.5, 0.42)
    patch = INK if look.colour in ("none", "white") else (240, 232, 220)
    pen.oval(patch, -0.5, -0.16, 0.24, 0.26)
    pen.oval(patch, 0.08, 0.12, 0.26, 0.22)
    pen.oval((240, 160, 170), -0.2, 0.46, 0.2, 0.12)
    pen.box(look.tint, 0.46, -0.72, 0.9, -0.1)
    pen.box((240, 160, 170), 0.6, -0.24, 1.0, 0.02)
    pen.line((230, 220, 180), 0.08, 0.5, -0.7, 0.4, -0.95)
    pen.line((230, 220, 180), 0.08, 0.84, -0.7, 0.94, -0.95)
    pen.oval(PAPER if look.colour == "black" else INK, 0.72, -0.5, 0.07)


def sheep(pen: Pen, look: Look) -> None:
    """A woolly cloud with a dark face and thin dark legs."""
    dark = (60, 50, 50) if look.colour != "black" else (190, 160, 140)
    _legs(pen, dark, 0.4, 0.12, -0.5, -0.25, 0.2, 0.45)
    for x, y, r in ((-0.55, 0.05, 0.36), (-0.2, -0.22, 0.4), (0.25, -0.2, 0.38), (0.4, 0.15, 0.36), (-0.1, 0.25, 0.42)):
        pen.oval(look.tint, x, y, r)
    pen.oval(dark, 0.74, -0.22, 0.25, 0.32)
    pen.oval(look.tint, 0.64, -0.5, 0.22, 0.14)
    pen.oval(PAPER, 0.8, -0.26, 0.06)


def cat(pen: Pen, look: Look) -> None:
    """Sitting, seen from the front: two pointed ears, whisker stripe, a curled tail."""
    pen.line(look.shade, 0.17, 0.4, 0.85, 0.85, 0.75, 0.9, 0.25)
    pen.oval(look.tint, 0.0, 0.5, 0.52, 0.55)
    pen.poly(look.tint, -0.55, -0.3, -0.52, -1.0, -0.1, -0.6)
    pen.poly(look.tint, 0.55, -0.3, 0.52, -1.0, 0.1, -0.6)
    pen.oval(look.tint, 0.0, -0.3, 0.56, 0.46)
    eye = (180, 220, 60)
    for x in (-0.24, 0.24):
        pen.oval(eye, x, -0.36, 0.12, 0.13)
        pen.oval(INK, x, -0.36, 0.05, 0.11)
    pen.poly((240, 130, 150), -0.08, -0.16, 0.08, -0.16, 0, -0.05)
    for x in (-0.24, 0.24):
        pen.oval(look.shade, x, 0.94, 0.17, 0.11)


def dog(pen: Pen, look: Look) -> None:
    """Standing, with a hanging ear, a long muzzle, a raised tail and a red collar."""
    _legs(pen, look.shade, 0.3, 0.15, -0.42, 0.2)
    _legs(pen, look.tint, 0.3, 0.15, -0.6, 0.36)
    pen.line(look.tint, 0.15, -0.6, 0.05, -0.92, -0.45)
    pen.oval(look.tint, -0.12, 0.18, 0.6, 0.32)
    pen.poly(look.tint, 0.1, 0.2, 0.5, 0.2, 0.66, -0.4, 0.3, -0.5)
    pen.oval(look.tint, 0.48, -0.5, 0.34, 0.3)
    pen.box(look.tint, 0.5, -0.55, 0.96, -0.25)
    pen.oval(INK, 0.95, -0.48, 0.1)
    pen.oval(look.shade, 0.26, -0.4, 0.16, 0.34)
    pen.oval(PAPER if look.colour in ("black", "brown") else INK, 0.58, -0.58, 0.07)
    pen.line((220, 40, 50) if look.colour != "none" else (40, 90, 200), 0.12, 0.24, -0.1, 0.6, -0.04)


def bird(pen: Pen, look: Look) -> None:
    """A drop-shaped body with a large wing, a beak and a tail."""
    pen.poly(look.shade, -0.5, 0.1, -1.0, -0.2, -0.95, 0.3)
    pen.oval(look.tint, -0.05, 0.15, 0.62, 0.42)
    pen.oval(look.tint, 0.45, -0.2, 0.34)
    pen.poly((250, 160, 30), 0.7, -0.3, 1.0, -0.14, 0.7, -0.04)
    pen.poly(look.shade, -0.45, 0.0, 0.25, 0.05, 0.0, 0.42)
    pen.poly(look.shade, -0.35, 0.05, 0.25, 0.05, -0.4, -0.75)
    pen.oval(PAPER, 0.52, -0.28, 0.11)
    pen.oval(INK, 0.54, -0.28, 0.06)
    for x in (-0.1, 0.15):
        pen.line((200, 110, 20), 0.08, x, 0.5, x, 0.9)


def bear(pen: Pen, look: Look) -> None:
    """Upright from the front: round ears, light muzzle and belly."""
    for x in (-0.42, 0.42):
        pen.oval(look.tint, x, -0.85, 0.2)
        pen.oval(look.tint, x * 1.05, 0.82, 0.28, 0.2)
        pen.line(look.shade, 0.3, x * 1.2, 0.05, x * 1.7, 0.45)
    pen.oval(look.tint, 0.0, 0.4, 0.62, 0.58)
    pen.oval(look.light, 0.0, 0.48, 0.34, 0.36)
    pen.oval(look.tint, 0.0, -0.48, 0.52, 0.46)
    pen.oval(look.light, 0.0, -0.3, 0.26, 0.2)
    pen.oval(INK, 0.0, -0.38, 0.11, 0.08)
    for x in (-0.22, 0.22):
        pen.oval(PAPER if look.colour == "black" else INK, x, -0.6, 0.07)


def fish(pen: Pen, look: Look) -> None:
    """An oval with a forked tail, fin and stripes."""
    pen.poly(look.shade, -0.45, 0.0, -1.0, -0.5, -0.85, 0.0, -1.0, 0.5)
    pen.poly(look.shade, -0.2, -0.3, 0.3, -0.75, 0.35, -0.3)
    pen.oval(look.tint, 0.15, 0.0, 0.75, 0.46)
    pen.box(look.light, -0.2, -0.36, -0.05, 0.36)
    pen.box(look.light, 0.15, -0.42, 0.3, 0.42)
    pen.oval(PAPER, 0.6, -0.1, 0.13)
    pen.oval(INK, 0.63, -0.1, 0.07)


def butterfly(pen: Pen, look: Look) -> None:
    """Four wings with spots, symmetric around a dark body."""
    for side in (-1, 1):
        pen.poly(look.tint, 0, -0.1, side * 0.5, -0.95, side, -0.75, side * 0.9, -0.1, 0, 0.1)
        pen.poly(look.shade, 0, 0.0, side * 0.85, 0.1, side * 0.7, 0.8, side * 0.35, 0.75)
        pen.oval(look.light, side * 0.62, -0.5, 0.18)
        pen.oval(look.light, side * 0.5, 0.4, 0.13)
        pen.line(INK, 0.06, 0.0, -0.5, side * 0.22, -0.95)
    pen.oval(darker((60, 50, 60)), 0.0, 0.05, 0.1, 0.62)


ARTISTS = by_name(elephant, giraffe, zebra, cow, sheep, cat, dog, bird, bear, fish, butterfly)
