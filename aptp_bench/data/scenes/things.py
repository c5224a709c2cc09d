"""Street furniture, household things and toys, standing at y = 1."""

from __future__ import annotations

from aptp_bench.data.scenes.canvas import Look, Pen, by_name
from aptp_bench.data.scenes.letters import write
from aptp_bench.data.scenes.palette import INK, NAMED, PAPER, darker

WOOD = (128, 84, 46)


def stop_sign(pen: Pen, look: Look) -> None:
    """A red octagon with a white rim and the word, on a pole."""
    pen.box((150, 152, 158), -0.07, 0.3, 0.07, 1.1)
    for radius, fill in ((1.0, PAPER), (0.88, look.tint)):
        a, b = 0.72 * radius, 0.3 * radius
        pen.poly(fill, -b, -0.3 - a, b, -0.3 - a, a, -0.3 - b, a, -0.3 + b, b, -0.3 + a, -b, -0.3 + a)
        pen.poly(fill, -b, -0.3 - a, -b, -0.3 + a, -a, -0.3 + b, -a, -0.3 - b)
    write(pen, "stop", PAPER, (-0.5, -0.5, 0.5, -0.1), 0.1)


def fire_hydrant(pen: Pen, look: Look) -> None:
    """A stout post with a dome, two side caps and a base."""
    pen.box(look.shade, -0.5, 0.78, 0.5, 1.0)
    pen.box(look.tint, -0.36, -0.4, 0.36, 0.8)
    pen.oval(look.tint, 0, -0.42, 0.44, 0.4)
    pen.box(look.shade, -0.5, -0.46, 0.5, -0.3)
    pen.box(look.shade, -0.1, -0.98, 0.1, -0.72)
    pen.box(look.tint, -0.68, -0.05, 0.68, 0.3)
    pen.box(look.shade, -0.76, -0.12, -0.58, 0.37)
    pen.box(look.shade, 0.58, -0.12, 0.76, 0.37)
    pen.oval(look.light, 0, 0.12, 0.2)


def traffic_light(pen: Pen, look: Look) -> None:
    """Three lamps in a dark box; only the named one is lit."""
    pen.box((120, 122, 128), -0.08, 0.6, 0.08, 1.1)
    pen.box((250, 200, 40), -0.5, -1.05, 0.5, 0.78)
    pen.box(INK, -0.42, -0.98, 0.42, 0.7)
    for y, name in ((-0.66, "red"), (-0.14, "yellow"), (0.38, "green")):
        lit = (40, 220, 90) if name == "green" else NAMED[name]
        pen.oval(lit if look.colour == name else (74, 74, 80), 0, y, 0.25)


def umbrella(pen: Pen, look: Look) -> None:
    """A scalloped canopy over a hooked handle."""
    pen.line(INK, 0.09, 0, -0.2, 0, 0.85, 0.12, 0.97, 0.26, 0.85)
    pen.pie(look.tint, 0, 0.1, 1.0, 180, 360)
    pen.poly(look.shade, -0.33, 0.1, 0.33, 0.1, 0, -0.9)
    pen.poly(look.light, 0.66, 0.1, 1.0, 0.1, 0, -0.9)
    pen.line(INK, 0.08, 0, -0.9, 0, -1.02)


def kite(pen: Pen, look: Look) -> None:
    """A diamond in two tones with a bowed tail."""
    pen.line((90, 90, 100), 0.05, -0.15, 0.4, -0.35, 0.65, -0.15, 0.85, -0.4, 1.05)
    for x, y in ((-0.3, 0.6), (-0.2, 0.84)):
        pen.poly(look.tint, x - 0.2, y - 0.09, x - 0.2, y + 0.09, x + 0.2, y - 0.09, x + 0.2, y + 0.09)
    pen.poly(look.tint, 0.2, -1.0, 0.8, -0.3, -0.15, 0.45, -0.6, -0.5)
    pen.poly(look.light, 0.2, -1.0, 0.8, -0.3, 0.08, -0.4)
    pen.poly(look.shade, -0.6, -0.5, 0.08, -0.4, -0.15, 0.45)


def clock(pen: Pen, look: Look) -> None:
    """A round face with a coloured rim, four marks and two hands."""
    pen.oval(look.shade, 0, 0, 1.0)
    pen.oval(look.tint, 0, 0, 0.92)
    pen.oval((252, 250, 240), 0, 0, 0.7)
    for x, y in ((0, -0.55), (0.55, 0), (0, 0.55), (-0.55, 0)):
        pen.oval(INK, x, y, 0.07)
    pen.line(INK, 0.11, 0, 0, *((0, -0.48) if look.rolls[3] < 0.5 else (0.34, -0.34)))
    pen.line(INK, 0.11, 0, 0, *((0.34, 0.1) if look.rolls[3] < 0.5 else (-0.3, 0.1)))


def vase(pen: Pen, look: Look) -> None:
    """A bellied vase holding three flowers."""
    for x, y in ((-0.45, -0.55), (0.0, -0.75), (0.45, -0.55)):
        pen.line((50, 130, 50), 0.08, 0, 0.1, x, y)
    hue = (250, 210, 50) if look.colour in ("red", "pink", "white") else (240, 80, 110)
    for x, y in ((-0.45, -0.6), (0.0, -0.78), (0.45, -0.6)):
        pen.oval(hue, x, y, 0.24)
        pen.oval((250, 250, 240), x, y, 0.09)
    pen.oval(look.tint, 0, 0.52, 0.5, 0.46)
    pen.box(look.tint, -0.22, -0.02, 0.22, 0.3)
    pen.box(look.shade, -0.3, -0.06, 0.3, 0.06)
    pen.box(look.shade, -0.28, 0.88, 0.28, 1.0)
    pen.oval(look.light, 0.2, 0.42, 0.1, 0.2)


def chair(pen: Pen, look: Look) -> None:
    """From the front: a tall back with two slats, a seat and four legs."""
    for x in (-0.3, 0.3):
        pen.box(look.shade, x - 0.07, 0.2, x + 0.07, 0.84)
    pen.box(look.tint, -0.5, -1.0, 0.5, 0.1)
    for y in (-0.7, -0.32):
        pen.box(look.shade, -0.34, y, 0.34, y + 0.2)
    pen.poly(look.light, -0.5, 0.05, 0.5, 0.05, 0.66, 0.3, -0.66, 0.3)
    pen.box(look.tint, -0.66, 0.28, 0.66, 0.44)
    for x in (-0.58, 0.58):
        pen.box(look.tint, x - 0.08, 0.4, x + 0.08, 1.0)


def couch(pen: Pen, look: Look) -> None:
    """Wide and low: back, two cushions, two arms."""
    pen.box(look.shade, -0.82, -0.45, 0.82, 0.5)
    pen.box(look.light, -0.68, 0.05, -0.04, 0.4)
    pen.box(look.light, 0.04, 0.05, 0.68, 0.4)
    pen.box(look.tint, -0.85, 0.36, 0.85, 0.8)
    for x in (-0.86, 0.86):
        pen.box(look.tint, x - 0.16, -0.05, x + 0.16, 0.8)
        pen.oval(look.tint, x, -0.05, 0.16)
        pen.box(WOOD, x - 0.06, 0.8, x + 0.06, 1.0)


def bed(pen: Pen, look: Look) -> None:
    """From the side: headboard, pillow, blanket."""
    pen.box(WOOD, -1.0, -0.7, -0.84, 1.0)
    pen.box(WOOD, 0.84, -0.05, 1.0, 1.0)
    pen.box((246, 246, 250), -0.84, 0.2, 0.84, 0.5)
    pen.box(look.tint, -0.35, 0.02, 0.84, 0.56)
    pen.box(look.light, -0.35, 0.02, -0.2, 0.56)
    pen.oval(PAPER, -0.6, 0.06, 0.24, 0.17)
    pen.box(darker(WOOD), -0.84, 0.54, 0.84, 0.74)


def laptop(pen: Pen, look: Look) -> None:
    """An open screen above a keyboard."""
    pen.box(look.tint, -0.72, -0.8, 0.72, 0.35)
    pen.box((60, 140, 230), -0.6, -0.68, 0.6, 0.23)
    pen.poly((160, 220, 250), -0.6, -0.68, 0.1, -0.68, -0.3, 0.23, -0.6, 0.23)
    pen.poly(look.tint, -0.72, 0.38, 0.72, 0.38, 1.0, 0.85, -1.0, 0.85)
    pen.poly(look.shade, -0.6, 0.46, 0.6, 0.46, 0.76, 0.68, -0.76, 0.68)


ARTISTS = by_name(stop_sign, fire_hydrant, traffic_light, umbrella, kite, clock, vase, chair, couch, bed, laptop)
