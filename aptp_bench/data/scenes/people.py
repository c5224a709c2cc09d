"""People: four at their sports, and two portraits."""

from __future__ import annotations

from aptp_bench.data.scenes.canvas import RGB, Look, Pen, by_name
from aptp_bench.data.scenes.palette import HAIR, INK, PAPER, SKIN, darker

TROUSERS = (44, 52, 90)


def _skin(look: Look) -> RGB:
    return SKIN[int(look.rolls[2] * len(SKIN))]


def _head(pen: Pen, look: Look, x: float, y: float) -> None:
    pen.oval(HAIR["dark"], x - 0.03, y - 0.05, 0.21)
    pen.oval(_skin(look), x + 0.03, y + 0.03, 0.18)


def surfer(pen: Pen, look: Look) -> None:
    """Crouching with spread arms on a white board, spray behind."""
    if look.setting == "sea":
        pen.poly((220, 240, 250), -1.1, 1.0, -1.0, 0.3, -0.5, 0.8, 0.9, 0.95, 0.9, 1.1, -1.1, 1.1)
    pen.poly((240, 100, 40), -0.95, 0.62, 0.6, 0.74, 1.0, 0.6, 0.7, 0.92, -0.8, 0.86)
    pen.line(TROUSERS, 0.22, -0.05, 0.12, -0.35, 0.38, -0.42, 0.68)
    pen.line(TROUSERS, 0.22, 0.0, 0.12, 0.35, 0.32, 0.3, 0.7)
    skin = _skin(look)
    pen.line(skin, 0.15, 0.1, -0.4, -0.4, -0.3, -0.75, -0.5)
    pen.line(skin, 0.15, 0.15, -0.4, 0.55, -0.2, 0.9, -0.35)
    pen.line(look.tint, 0.36, 0.12, -0.32, -0.04, 0.1)
    _head(pen, look, 0.2, -0.72)


def skier(pen: Pen, look: Look) -> None:
    """Leaning forward on two long skis with two poles."""
    pen.line(darker(look.tint, 0.2), 0.1, -0.9, 0.72, 0.8, 0.98, 0.98, 0.86)
    pen.line((50, 60, 80), 0.1, -0.7, 0.6, 0.85, 0.82, 0.98, 0.7)
    pen.line(TROUSERS, 0.25, -0.15, 0.1, 0.2, 0.36, -0.05, 0.72)
    pen.line(look.tint, 0.4, -0.12, 0.02, 0.14, -0.35)
    pen.line(INK, 0.06, 0.6, -0.08, 0.15, 0.8)
    pen.line(INK, 0.06, 0.62, -0.1, 0.8, 0.6)
    pen.line(look.tint, 0.17, 0.12, -0.36, 0.3, -0.02, 0.6, -0.1)
    _head(pen, look, 0.3, -0.72)
    pen.pie(look.tint, 0.3, -0.76, 0.22, 180, 360)


def skateboarder(pen: Pen, look: Look) -> None:
    """Upright on a short red board with wheels, one arm up."""
    pen.line((200, 60, 50), 0.12, -0.85, 0.66, -0.6, 0.78, 0.6, 0.78, 0.85, 0.66)
    for x in (-0.45, 0.45):
        pen.oval(INK, x, 0.92, 0.13)
    pen.line(TROUSERS, 0.22, -0.02, 0.1, -0.32, 0.42, -0.3, 0.7)
    pen.line(TROUSERS, 0.22, 0.02, 0.1, 0.32, 0.4, 0.34, 0.7)
    skin = _skin(look)
    pen.line(skin, 0.14, -0.08, -0.4, -0.48, -0.5, -0.66, -0.9)
    pen.line(skin, 0.14, 0.1, -0.4, 0.46, -0.2, 0.78, -0.3)
    pen.line(look.tint, 0.38, 0.02, -0.36, 0.0, 0.06)
    _head(pen, look, 0.05, -0.78)


def tennis_player(pen: Pen, look: Look) -> None:
    """Racket raised, white shorts, a yellow ball."""
    skin = _skin(look)
    pen.line(skin, 0.18, -0.12, 0.3, -0.4, 0.62, -0.36, 0.98)
    pen.line(skin, 0.18, 0.05, 0.3, 0.3, 0.6, 0.42, 0.96)
    pen.poly(PAPER, -0.28, 0.08, 0.2, 0.08, 0.32, 0.5, -0.38, 0.5)
    pen.line(skin, 0.15, -0.15, -0.35, -0.5, -0.1, -0.5, 0.2)
    pen.line(skin, 0.15, 0.1, -0.35, 0.42, -0.28, 0.52, -0.5)
    pen.line(look.tint, 0.4, -0.02, -0.3, -0.04, 0.08)
    _head(pen, look, 0.0, -0.75)
    pen.line(INK, 0.08, 0.5, -0.42, 0.66, -0.62)
    pen.oval((210, 60, 40), 0.75, -0.78, 0.25, 0.28)
    pen.oval((240, 240, 230), 0.75, -0.78, 0.17, 0.2)
    pen.oval((214, 240, 40), -0.78, -0.7, 0.13)


def _face(pen: Pen, look: Look) -> None:
    skin = _skin(look)
    pen.box(darker(skin, 0.15), -0.17, 0.1, 0.17, 0.55)
    pen.oval(skin, 0, -0.15, 0.42, 0.5)
    for x in (-0.17, 0.17):
        pen.oval(PAPER, x, -0.18, 0.1, 0.075)
        pen.oval(INK, x, -0.18, 0.065, 0.075)
    pen.line(darker(skin, 0.3), 0.05, 0.0, -0.1, 0.03, 0.03)


def woman(pen: Pen, look: Look) -> None:
    """A portrait: long hair on both sides, red lips, a dress with bare shoulders."""
    hair = HAIR[look.variant]
    pen.oval(hair, 0, -0.28, 0.64, 0.66)
    pen.box(hair, -0.64, -0.3, 0.64, 0.55)
    pen.oval(_skin(look), 0, 0.85, 0.74, 0.38)
    pen.poly(look.tint, -0.62, 1.15, -0.5, 0.62, -0.24, 0.84, 0.24, 0.84, 0.5, 0.62, 0.62, 1.15)
    _face(pen, look)
    pen.pie(hair, 0, -0.32, 0.46, 180, 360)
    pen.oval((206, 40, 60), 0, 0.16, 0.14, 0.07)


def man(pen: Pen, look: Look) -> None:
    """A portrait: short hair, broad shoulders in a shirt with a collar."""
    hair = HAIR[look.variant]
    pen.oval(look.tint, 0, 1.0, 0.95, 0.55)
    pen.oval(hair, 0, -0.38, 0.5, 0.46)
    _face(pen, look)
    for x in (-0.43, 0.43):
        pen.oval(_skin(look), x, -0.14, 0.08, 0.12)
    pen.box(hair, -0.4, -0.7, 0.4, -0.42)
    pen.poly(look.light, -0.3, 0.48, 0.0, 0.7, 0.3, 0.48, 0.2, 0.42, -0.2, 0.42)
    pen.pie((160, 60, 60), 0, 0.08, 0.16, 20, 160)


ARTISTS = by_name(surfer, skier, skateboarder, tennis_player, woman, man)
