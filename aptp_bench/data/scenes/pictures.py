"""Flat illustrations (heart, star, house, ...) and the written sign."""

from __future__ import annotations

import math

from aptp_bench.data.scenes.canvas import Look, Pen, by_name
from aptp_bench.data.scenes.letters import write
from aptp_bench.data.scenes.palette import INK, PAPER

TRUNK = (118, 76, 40)


def heart(pen: Pen, look: Look) -> None:
    """Two lobes over a point."""
    pen.oval(look.tint, -0.46, -0.36, 0.52)
    pen.oval(look.tint, 0.46, -0.36, 0.52)
    pen.poly(look.tint, -0.9, -0.1, 0.9, -0.1, 0, 0.95)
    pen.box(look.tint, -0.5, -0.3, 0.5, 0.0)
    pen.oval(look.light, -0.5, -0.48, 0.16)


def star(pen: Pen, look: Look) -> None:
    """Five points, one half shaded."""
    flat: list[float] = []
    for i in range(10):
        radius = 1.0 if i % 2 == 0 else 0.42
        flat += [radius * math.sin(i * math.pi / 5), 0.05 - radius * math.cos(i * math.pi / 5)]
    pen.poly(look.tint, *flat)
    pen.poly(look.shade, *flat[:12])


def flower(pen: Pen, look: Look) -> None:
    """Six petals on a stem with two leaves."""
    pen.line((50, 140, 60), 0.12, 0, -0.2, 0, 1.0)
    pen.poly((50, 140, 60), 0, 0.9, 0.5, 0.45, 0.62, 0.62, 0, 1.0, -0.62, 0.62, -0.5, 0.45)
    for i in range(6):
        angle = i * math.pi / 3
        pen.oval(look.tint, 0.38 * math.sin(angle), -0.4 - 0.38 * math.cos(angle), 0.26)
    pen.oval((250, 200, 40) if look.colour != "yellow" else (150, 90, 30), 0, -0.4, 0.24)


def tree(pen: Pen, look: Look) -> None:
    """A round crown of three discs on a trunk."""
    pen.poly(TRUNK, -0.16, 0.1, 0.16, 0.1, 0.22, 1.0, -0.22, 1.0)
    for x, y, r in ((-0.4, -0.1, 0.46), (0.4, -0.1, 0.46), (0.0, -0.5, 0.5)):
        pen.oval(look.shade, x, y + 0.06, r)
    for x, y, r in ((-0.36, -0.16, 0.38), (0.34, -0.16, 0.36), (-0.02, -0.55, 0.4)):
        pen.oval(look.tint, x, y, r)


def house(pen: Pen, look: Look) -> None:
    """Walls in the named colour, a dark roof, a chimney, a door and two windows."""
    pen.box((140, 80, 60), 0.42, -0.9, 0.64, -0.3)
    pen.box(look.tint, -0.74, -0.15, 0.74, 1.0)
    roof = (92, 60, 56) if look.colour != "brown" else (170, 60, 50)
    pen.poly(roof, -1.0, -0.12, 0, -0.95, 1.0, -0.12)
    pen.box((80, 52, 40), -0.16, 0.4, 0.16, 1.0)
    for x in (-0.48, 0.48):
        pen.box(PAPER, x - 0.2, 0.08, x + 0.2, 0.48)
        pen.box((130, 200, 240), x - 0.14, 0.14, x + 0.14, 0.42)


def robot(pen: Pen, look: Look) -> None:
    """Square head with an antenna and two lit eyes, square body, arms and legs."""
    pen.line((110, 112, 120), 0.07, 0, -0.6, 0, -0.9)
    pen.oval((240, 70, 60) if look.colour != "red" else (250, 210, 40), 0, -0.93, 0.1)
    for x in (-0.68, 0.68):
        pen.line((130, 132, 140), 0.16, x * 0.8, 0.1, x * 1.2, 0.5)
    for x in (-0.24, 0.24):
        pen.box((130, 132, 140), x - 0.12, 0.6, x + 0.12, 1.0)
    pen.box(look.tint, -0.48, -0.02, 0.48, 0.7)
    pen.box(look.shade, -0.26, 0.14, 0.26, 0.46)
    pen.box(look.tint, -0.5, -0.76, 0.5, -0.1)
    for x in (-0.22, 0.22):
        pen.oval((250, 250, 200), x, -0.5, 0.14)
        pen.oval(INK, x, -0.5, 0.06)
    pen.box(INK, -0.24, -0.28, 0.24, -0.2)


def palm_tree(pen: Pen, look: Look) -> None:
    """A bent trunk under drooping leaves."""
    pen.line((140, 96, 54), 0.18, -0.3, 1.0, -0.22, 0.5, 0.0, 0.0, 0.12, -0.45)
    leaf = (30, 130, 56)
    for tip, bend in (((-0.85, -0.15), (-0.4, -0.75)), ((0.98, -0.1), (0.6, -0.75)), ((-0.7, -0.75), (-0.3, -0.85))):
        pen.poly(leaf, 0.12, -0.5, bend[0], bend[1] - 0.12, *tip, bend[0], bend[1] + 0.16)
    pen.poly(leaf, 0.12, -0.5, 0.5, -1.05, 0.9, -0.85, 0.55, -0.75)
    pen.poly((46, 156, 70), 0.12, -0.55, -0.15, -0.3, -0.35, 0.12, 0.1, -0.2)
    pen.poly((46, 156, 70), 0.12, -0.55, 0.5, -0.35, 0.55, 0.15, 0.22, -0.2)
    pen.oval((96, 60, 30), 0.06, -0.38, 0.1)
    pen.oval((96, 60, 30), 0.24, -0.38, 0.1)


def sign(pen: Pen, look: Look) -> None:
    """A board on two posts with one word written large, or two, one above the other."""
    for x in (-0.6, 0.6):
        pen.box((110, 84, 60), x - 0.08, 0.3, x + 0.08, 1.2)
    pen.box(look.shade, -1.06, -0.66, 1.06, 0.54)
    pen.box(look.tint, -1.0, -0.6, 1.0, 0.48)
    ink = INK if look.colour in ("yellow", "white", "pink") else PAPER
    upper, _, lower = look.word.partition(" ")
    if not lower:
        return write(pen, upper, ink, (-0.92, -0.38, 0.92, 0.28), 0.13)
    write(pen, upper, ink, (-0.92, -0.5, 0.92, -0.14), 0.1)
    write(pen, lower, ink, (-0.92, 0.04, 0.92, 0.4), 0.1)


ARTISTS = by_name(heart, star, flower, tree, house, robot, palm_tree, sign)
