"""Vehicles: wheels or keel at y = 1, facing right."""

from __future__ import annotations

from aptp_bench.data.scenes.canvas import Look, Pen, by_name
from aptp_bench.data.scenes.palette import INK, PAPER

GLASS = (186, 226, 244)


def _wheels(pen: Pen, radius: float, *places: float) -> None:
    for x in places:
        pen.oval(INK, x, 1.0 - radius, radius)
        pen.oval((170, 170, 176), x, 1.0 - radius, radius * 0.45)


def bus(pen: Pen, look: Look) -> None:
    """Two rows of windows on a tall box."""
    pen.box(look.tint, -1.0, -0.75, 1.0, 0.78)
    pen.box(look.shade, -1.0, 0.55, 1.0, 0.78)
    pen.box(look.light, -1.0, -0.75, 1.0, -0.64)
    for row in (-0.52, 0.06):
        for x in (-0.86, -0.4, 0.06):
            pen.box(GLASS, x, row, x + 0.36, row + 0.36)
    pen.box(GLASS, 0.56, -0.52, 0.94, -0.16)
    pen.box(GLASS, 0.6, 0.0, 0.86, 0.62)
    _wheels(pen, 0.26, -0.55, 0.36)


def car(pen: Pen, look: Look) -> None:
    """Low, with a round roof and two windows."""
    pen.poly(look.tint, -0.62, 0.15, -0.38, -0.4, 0.28, -0.4, 0.6, 0.15)
    pen.poly(GLASS, -0.46, 0.12, -0.3, -0.26, -0.06, -0.26, -0.06, 0.12)
    pen.poly(GLASS, 0.06, 0.12, 0.06, -0.26, 0.22, -0.26, 0.44, 0.12)
    pen.box(look.tint, -1.0, 0.1, 1.0, 0.66)
    pen.box(look.shade, -1.0, 0.54, 1.0, 0.7)
    pen.oval((255, 240, 150), 0.92, 0.28, 0.1)
    _wheels(pen, 0.28, -0.55, 0.55)


def train(pen: Pen, look: Look) -> None:
    """A steam engine: boiler, cab, chimney with smoke, three wheels on a rail."""
    pen.box((110, 92, 80), -1.2, 0.94, 1.2, 1.06)
    for x, y, r in ((0.5, -0.85, 0.16), (0.2, -1.0, 0.2)):
        pen.oval((236, 236, 236), x, y, r)
    pen.box(look.shade, 0.48, -0.7, 0.72, -0.1)
    pen.box(look.tint, -0.2, -0.2, 0.86, 0.45)
    pen.box(look.tint, -0.95, -0.75, -0.15, 0.6)
    pen.box(look.shade, -1.05, -0.88, -0.05, -0.7)
    pen.box(GLASS, -0.76, -0.52, -0.34, -0.1)
    pen.box(INK, -0.95, 0.45, 0.95, 0.62)
    pen.poly(INK, 0.8, 0.6, 0.95, 0.45, 1.1, 0.95)
    _wheels(pen, 0.24, -0.7, -0.1, 0.5)


def truck(pen: Pen, look: Look) -> None:
    """A large white box behind a coloured cab."""
    pen.box((222, 222, 226), -1.0, -0.75, 0.3, 0.62)
    pen.box((190, 190, 198), -1.0, -0.14, 0.3, 0.0)
    pen.poly(look.tint, 0.36, -0.35, 0.76, -0.35, 1.0, 0.15, 1.0, 0.72, 0.36, 0.72)
    pen.poly(GLASS, 0.5, -0.22, 0.7, -0.22, 0.88, 0.15, 0.5, 0.15)
    pen.box(INK, -1.0, 0.6, 1.0, 0.76)
    _wheels(pen, 0.25, -0.65, -0.1, 0.62)


def airplane(pen: Pen, look: Look) -> None:
    """From the side, nose up to the right, two wings and a tail fin."""
    pen.poly(look.shade, -0.15, -0.05, 0.25, -0.12, -0.25, -0.7, -0.45, -0.68)
    pen.poly(look.tint, -1.0, 0.15, 0.65, -0.3, 0.98, -0.2, 0.85, -0.02, -0.75, 0.38)
    pen.poly(look.shade, -0.95, 0.2, -1.0, -0.42, -0.8, -0.45, -0.52, 0.1)
    pen.poly(look.shade, -0.2, 0.1, 0.3, 0.0, -0.1, 0.8, -0.36, 0.82)
    for x in (-0.35, -0.05, 0.25):
        pen.oval((50, 90, 150), x, 0.06 - 0.27 * x, 0.07)
    pen.oval((50, 90, 150), 0.72, -0.2, 0.1, 0.07)


def boat(pen: Pen, look: Look) -> None:
    """A hull with a mast and two white sails."""
    pen.box((96, 66, 40), -0.04, -1.0, 0.06, 0.5)
    pen.poly(PAPER, 0.1, -0.95, 0.1, 0.35, 0.82, 0.35)
    pen.poly((236, 226, 206), -0.1, -0.8, -0.1, 0.35, -0.66, 0.35)
    pen.poly(look.tint, -1.0, 0.45, 1.0, 0.45, 0.68, 1.0, -0.68, 1.0)
    pen.poly(look.shade, -0.82, 0.76, 0.82, 0.76, 0.68, 1.0, -0.68, 1.0)


ARTISTS = by_name(bus, car, train, truck, airplane, boat)
