"""Backgrounds: two or three flat zones each, clearly unlike one another."""

from __future__ import annotations

from aptp_bench.data.scenes.canvas import RGB, Look, Pen, by_name
from aptp_bench.data.scenes.palette import blend, jitter


def _zones(pen: Pen, roll: float, *zones: tuple[float, RGB]) -> None:
    """Fill the frame from top to bottom: each zone ends at its local y."""
    top = -1.1
    for bottom, colour in zones:
        pen.box(jitter(colour, roll), -1.1, top, 1.1, bottom)
        top = bottom


def _fade(pen: Pen, top: RGB, bottom: RGB) -> None:
    """A vertical gradient in ten flat steps."""
    for i in range(10):
        pen.box(blend(top, bottom, i / 9), -1.1, -1 + i * 0.21, 1.1, -1 + (i + 1) * 0.21)


def _cloud(pen: Pen, x: float, y: float) -> None:
    for dx, r in ((-0.2, 0.11), (0.0, 0.17), (0.2, 0.12)):
        pen.oval((244, 248, 252), x + dx, y, r * 1.3, r * 0.8)


def _grass(pen: Pen, look: Look) -> None:
    horizon = -0.1 + 0.2 * look.rolls[0]
    _zones(pen, look.rolls[1], (horizon, (150, 206, 240)), (1.1, (96, 190, 76)))


def _beach(pen: Pen, look: Look) -> None:
    horizon = -0.35 + 0.2 * look.rolls[0]
    sand = (238, 214, 154)
    _zones(pen, look.rolls[1], (horizon, (176, 224, 246)), (horizon + 0.4, (40, 160, 190)), (1.1, sand))


def _snow(pen: Pen, look: Look) -> None:
    horizon = -0.2 + 0.2 * look.rolls[0]
    _zones(pen, look.rolls[1], (horizon, (164, 184, 206)), (1.1, (236, 242, 250)))
    for x in (-0.8, -0.45, 0.5, 0.85):
        pen.poly((70, 104, 100), x - 0.16, horizon, x + 0.16, horizon, x, horizon - 0.42)


def _street(pen: Pen, look: Look) -> None:
    kerb = 0.25 + 0.15 * look.rolls[0]
    _zones(pen, look.rolls[1], (-0.6, (200, 210, 218)), (kerb, (168, 142, 124)), (1.1, (92, 94, 100)))
    pen.box((140, 110, 96), -0.25, -0.8, 0.3, kerb)
    for x in (-0.8, -0.5, 0.5, 0.8):
        pen.box((214, 206, 176), x - 0.08, -0.4, x + 0.08, -0.15)
    for x in (-0.8, 0.0, 0.8):
        pen.box((226, 226, 220), x - 0.18, 0.82, x + 0.18, 0.9)


def _sea(pen: Pen, look: Look) -> None:
    horizon = (-0.95 if look.variant == "under" else -0.15) + 0.25 * look.rolls[0]
    _zones(pen, look.rolls[1], (horizon, (190, 226, 244)), (1.1, (24, 98, 160)))
    for x, y in ((-0.6, 0.35), (0.45, 0.5), (-0.2, 0.8)):
        pen.box((70, 146, 200), x - 0.25, horizon + y, x + 0.25, horizon + y + 0.06)


def _sky(pen: Pen, look: Look) -> None:
    _fade(pen, (70, 150, 232), (178, 220, 250))
    _cloud(pen, -0.75 + 0.4 * look.rolls[0], 0.7)
    _cloud(pen, 0.35 + 0.5 * look.rolls[1], -0.72)


def _savanna(pen: Pen, look: Look) -> None:
    horizon = -0.05 + 0.25 * look.rolls[0]
    _zones(pen, look.rolls[1], (horizon, (250, 226, 160)), (1.1, (204, 158, 70)))
    x = -0.8 if look.rolls[2] < 0.5 else 0.8
    pen.box((100, 74, 44), x - 0.04, horizon - 0.5, x + 0.04, horizon)
    pen.oval((112, 130, 50), x, horizon - 0.5, 0.36, 0.13)


def _kitchen(pen: Pen, look: Look) -> None:
    counter = 0.3 + 0.15 * look.rolls[0]
    _zones(pen, look.rolls[1], (-0.5, (106, 148, 140)), (counter, (226, 238, 226)), (1.1, (150, 154, 160)))
    for x in (-0.5, 0.0, 0.5):
        pen.box((66, 104, 98), x - 0.02, -1, x + 0.02, -0.5)


def _living_room(pen: Pen, look: Look) -> None:
    floor = 0.4 + 0.15 * look.rolls[0]
    _zones(pen, look.rolls[1], (floor, (236, 204, 160)), (1.1, (146, 92, 56)))
    x = -0.6 if look.rolls[2] < 0.5 else 0.6
    pen.box((120, 70, 40), x - 0.3, -0.88, x + 0.3, -0.38)
    pen.box((140, 190, 180), x - 0.23, -0.81, x + 0.23, -0.45)


def _bedroom(pen: Pen, look: Look) -> None:
    floor = 0.4 + 0.15 * look.rolls[0]
    _zones(pen, look.rolls[1], (floor, (188, 172, 218)), (1.1, (112, 100, 140)))
    x = -0.55 if look.rolls[2] < 0.5 else 0.55
    pen.box((250, 250, 250), x - 0.34, -0.9, x + 0.34, -0.3)
    pen.box((150, 210, 246), x - 0.27, -0.83, x - 0.03, -0.37)
    pen.box((150, 210, 246), x + 0.03, -0.83, x + 0.27, -0.37)


def _table(pen: Pen, look: Look) -> None:
    edge = -0.55 + 0.2 * look.rolls[0]
    _zones(pen, look.rolls[1], (edge, (74, 84, 96)), (1.1, (190, 134, 80)))
    for y in (0.35, 0.9):
        pen.box((164, 110, 62), -1.1, edge + y, 1.1, edge + y + 0.04)


def _plain(pen: Pen, look: Look) -> None:
    _zones(pen, look.rolls[1] * 0.5, (1.1, (250, 250, 250)))


def _night(pen: Pen, look: Look) -> None:
    _fade(pen, (10, 12, 40), (40, 44, 96))
    for i in range(7):
        x = ((i * 0.37 + look.rolls[0]) % 1) * 2 - 1
        y = ((i * 0.61 + look.rolls[1]) % 1) * 1.3 - 1
        pen.oval((250, 246, 210), x, y, 0.035)


def _hills(pen: Pen, look: Look) -> None:
    _zones(pen, look.rolls[1], (1.1, (212, 234, 246)))
    shift = 0.4 * look.rolls[0]
    pen.oval((138, 176, 170), -0.6 + shift, 0.6, 0.9, 0.75)
    pen.oval((110, 160, 140), 0.7 + shift, 0.7, 0.9, 0.75)
    pen.oval((86, 158, 70), -0.4 + shift, 1.35, 1.9, 0.95)


def _desert(pen: Pen, look: Look) -> None:
    _zones(pen, look.rolls[1], (1.1, (252, 214, 176)))
    shift = 0.4 * look.rolls[0]
    pen.oval((214, 128, 66), 0.5 - shift, 0.9, 1.1, 0.75)
    pen.oval((230, 152, 84), -0.6 + shift, 1.35, 1.7, 1.1)


def _stage(pen: Pen, look: Look) -> None:
    _zones(pen, look.rolls[1], (0.5, (24, 18, 34)), (1.1, (84, 60, 60)))
    for x in (-0.6, 0.6):
        pen.poly((92, 78, 120), x - 0.06, -1.0, x + 0.06, -1.0, x + 0.3, 0.5, x - 0.3, 0.5)


PAINTERS = by_name(_grass, _beach, _snow, _street, _sea, _sky, _savanna, _kitchen, _living_room, _bedroom, _table)
PAINTERS |= by_name(_plain, _night, _hills, _desert, _stage)
SETTINGS: tuple[str, ...] = tuple(PAINTERS)
