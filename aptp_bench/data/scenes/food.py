"""Food: round or tall shapes on their plates, lying at y = 1."""

from __future__ import annotations

from aptp_bench.data.scenes.canvas import Look, Pen, by_name
from aptp_bench.data.scenes.palette import PAPER, darker


def pizza(pen: Pen, look: Look) -> None:
    """From above: crust, cheese, pepperoni, cut lines."""
    pen.oval((186, 112, 44), 0, 0, 0.98)
    pen.oval((250, 206, 84), 0, 0, 0.82)
    for x, y in ((-0.42, -0.34), (0.3, -0.46), (0.5, 0.2), (-0.1, 0.5), (-0.56, 0.22), (0.02, -0.02)):
        pen.oval((206, 48, 36), x, y, 0.18)
    for x, y in ((-0.08, -0.42), (0.2, 0.25), (-0.3, 0.1)):
        pen.oval((60, 140, 50), x, y, 0.09)


def banana(pen: Pen, look: Look) -> None:
    """A thick crescent with dark ends."""
    outer = (-0.95, -0.5, -0.88, 0.1, -0.55, 0.6, 0.0, 0.82, 0.55, 0.6, 0.88, 0.1, 0.95, -0.5)
    inner = (0.72, -0.45, 0.52, -0.1, 0.25, 0.08, 0.0, 0.14, -0.25, 0.08, -0.52, -0.1, -0.72, -0.45)
    pen.poly(look.tint, *outer, *inner)
    pen.poly(look.shade, -0.9, 0.05, -0.5, 0.42, 0.0, 0.58, 0.5, 0.42, 0.9, 0.05, 0.55, 0.6, 0.0, 0.82, -0.55, 0.6)
    pen.line((96, 66, 30), 0.16, -0.84, -0.5, -0.86, -0.66)
    pen.line((96, 66, 30), 0.16, 0.84, -0.5, 0.86, -0.58)


def apple(pen: Pen, look: Look) -> None:
    """Two lobes, a stem and a leaf."""
    pen.oval(look.shade, -0.3, 0.22, 0.6, 0.72)
    pen.oval(look.tint, 0.26, 0.22, 0.62, 0.72)
    pen.oval(look.tint, -0.24, 0.18, 0.56, 0.66)
    pen.line((90, 56, 30), 0.12, 0.0, -0.35, 0.1, -0.85)
    pen.poly((60, 160, 60), 0.1, -0.55, 0.4, -0.95, 0.8, -0.85, 0.5, -0.5)
    pen.oval(look.light, 0.46, -0.08, 0.14, 0.2)


def cake(pen: Pen, look: Look) -> None:
    """Two tiers of icing with three lit candles on a plate."""
    pen.oval(PAPER, 0, 0.86, 1.05, 0.16)
    pen.box((232, 190, 130), -0.85, 0.15, 0.85, 0.86)
    pen.box(look.tint, -0.85, 0.05, 0.85, 0.42)
    for x in (-0.64, -0.21, 0.21, 0.64):
        pen.oval(look.tint, x, 0.42, 0.2, 0.2)
    pen.box(look.shade, -0.52, -0.4, 0.52, 0.08)
    pen.box(look.tint, -0.52, -0.4, 0.52, -0.2)
    for x in (-0.32, 0.0, 0.32):
        pen.box((80, 130, 230), x - 0.06, -0.75, x + 0.06, -0.4)
        pen.oval((255, 180, 40), x, -0.86, 0.09, 0.14)


def donut(pen: Pen, look: Look) -> None:
    """A ring with icing and sprinkles, on a white plate seen through the hole."""
    pen.oval((206, 146, 78), 0, 0.04, 0.98, 0.94)
    pen.oval(look.tint, 0, -0.02, 0.88, 0.84)
    pen.oval((206, 146, 78), 0, 0, 0.38)
    pen.oval((110, 78, 52), 0, 0.02, 0.3)
    hues = ((240, 60, 60), (70, 120, 240), (255, 230, 60), (60, 190, 90))
    spots = ((-0.6, -0.2), (-0.3, -0.6), (0.25, -0.62), (0.62, -0.15), (0.45, 0.45), (0.0, 0.64), (-0.5, 0.42))
    for i, (x, y) in enumerate(spots):
        pen.oval(hues[i % 4], x, y, 0.09)


def broccoli(pen: Pen, look: Look) -> None:
    """Dark green florets on a pale stem."""
    pen.poly((156, 200, 100), -0.28, 0.0, 0.28, 0.0, 0.2, 1.0, -0.2, 1.0)
    pen.line((156, 200, 100), 0.22, -0.05, 0.5, -0.5, 0.05)
    pen.line((156, 200, 100), 0.22, 0.05, 0.5, 0.5, 0.05)
    green = (34, 120, 44)
    for x, y, r in ((-0.6, -0.15, 0.36), (0.6, -0.15, 0.36), (-0.3, -0.55, 0.4), (0.32, -0.55, 0.4), (0, -0.2, 0.42)):
        pen.oval(darker(green, 0.2), x, y + 0.06, r)
        pen.oval(green, x, y - 0.02, r * 0.86)


def cup(pen: Pen, look: Look) -> None:
    """A mug with a handle, coffee and steam."""
    pen.oval(look.shade, 0.62, 0.25, 0.36, 0.38)
    pen.oval((214, 214, 214), 0.62, 0.25, 0.18, 0.2)
    pen.poly(look.tint, -0.75, -0.3, 0.6, -0.3, 0.48, 1.0, -0.63, 1.0)
    pen.oval(look.shade, -0.075, -0.3, 0.675, 0.2)
    pen.oval((92, 54, 28), -0.075, -0.28, 0.55, 0.13)
    for x in (-0.35, 0.15):
        pen.line((176, 180, 190), 0.1, x, -0.55, x + 0.12, -0.72, x, -0.9)


ARTISTS = by_name(pizza, banana, apple, cake, donut, broccoli, cup)
