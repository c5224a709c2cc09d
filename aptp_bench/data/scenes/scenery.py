"""Pictures that fill the whole frame: sunset, skyline, mountain, room, pattern, concert."""

from __future__ import annotations

from collections.abc import Callable

from aptp_bench.data.scenes.canvas import RGB, Look, Pen, by_name
from aptp_bench.data.scenes.palette import PAPER, blend, darker, lighter

DUSK: dict[str, tuple[RGB, RGB]] = {
    "none": ((96, 50, 110), (255, 150, 50)),
    "red": ((110, 16, 40), (250, 70, 40)),
    "pink": ((110, 80, 170), (255, 150, 190)),
    "yellow": ((230, 130, 40), (255, 226, 110)),
}


def sunset(pen: Pen, look: Look) -> None:
    """A low sun in a graded sky, over water, dunes or dark hills."""
    top, bottom = DUSK[look.colour]
    for i in range(8):
        pen.box(blend(top, bottom, i / 7), -1.1, -1.0 + i * 0.18, 1.1, 0.5)
    x, y = -0.4 + 0.8 * look.rolls[0], 0.02 + 0.2 * look.rolls[1]
    pen.oval((255, 244, 190), x, y, 0.3)
    _FOREGROUNDS[look.setting](pen, x, bottom)


def _sea(pen: Pen, x: float, glow: RGB) -> None:
    pen.box(blend((20, 40, 80), glow, 0.15), -1.1, 0.25, 1.1, 1.1)
    for i in range(4):
        pen.box(lighter(glow), x - 0.26 + i * 0.05, 0.3 + i * 0.18, x + 0.26 - i * 0.05, 0.38 + i * 0.18)


def _beach(pen: Pen, x: float, glow: RGB) -> None:
    _sea(pen, x, glow)
    pen.poly((96, 70, 56), -1.1, 0.8, 1.1, 0.6, 1.1, 1.1, -1.1, 1.1)
    side = -0.7 if x > 0 else 0.7
    pen.line((24, 18, 24), 0.09, side, 0.8, side, -0.3)
    for dx, dy in ((-0.4, 0.1), (0.4, 0.1), (-0.3, -0.2), (0.3, -0.2)):
        pen.line((24, 18, 24), 0.09, side, -0.3, side + dx, -0.3 + dy)


def _hills(pen: Pen, x: float, glow: RGB) -> None:
    pen.oval(blend((40, 30, 60), glow, 0.2), 0.6, 0.95, 0.9, 0.75)
    pen.oval((36, 34, 50), -0.6, 1.05, 1.1, 0.75)


def _desert(pen: Pen, x: float, glow: RGB) -> None:
    pen.oval(blend((120, 60, 30), glow, 0.3), 0.6, 1.1, 1.3, 0.8)
    pen.oval((130, 72, 40), -0.6, 1.3, 1.4, 0.85)


_FOREGROUNDS = by_name(_sea, _beach, _hills, _desert)


def skyline(pen: Pen, look: Look) -> None:
    """Towers of different heights; dark with lit windows at night, grey-blue by day, mirrored at sea."""
    night = look.setting == "night"
    base = 0.45 if look.setting == "sea" else 0.85
    zenith, haze = ((12, 14, 44), (52, 50, 104)) if night else ((96, 172, 240), (206, 230, 246))
    for i in range(6):
        pen.box(blend(zenith, haze, i / 5), -1.1, -1.1 + i * 0.34, 1.1, 1.1)
    body, far = ((30, 32, 52), (56, 60, 92)) if night else ((78, 98, 130), (146, 166, 190))
    for i in range(6):
        pen.box(far, -1.1 + i * 0.38, -0.3 + 0.3 * ((i * 0.7 + look.rolls[0]) % 1), -0.85 + i * 0.38, base)
    for i in range(5):
        left = -1.0 + i * 0.42
        top = -0.75 + 0.8 * ((i * 0.62 + look.rolls[1]) % 1)
        pen.box(body, left, top, left + 0.3, base)
        for j in range(int((base - top) / 0.26)):
            y = top + 0.1 + j * 0.26
            pen.box((255, 214, 90) if night else (206, 226, 240), left + 0.08, y, left + 0.22, y + 0.1)
    pen.box((22, 22, 30) if night else (86, 150, 84), -1.1, base, 1.1, base + 0.06)
    ground = {"night": (22, 22, 30), "sea": (34, 104, 166)}.get(look.setting, (96, 170, 90))
    pen.box(ground, -1.1, base + 0.04, 1.1, 1.1)


def mountain(pen: Pen, look: Look) -> None:
    """Two peaks with snow caps above a meadow, a snow field or a lake."""
    pen.box((150, 200, 240), -1.1, -1.1, 1.1, 0.6)
    lean = 0.3 * (look.rolls[0] - 0.5)
    pen.poly((110, 124, 152), -1.3 + lean, 0.6, -0.55 + lean, -0.5, 0.3 + lean, 0.6)
    pen.poly((76, 88, 118), -0.7 + lean, 0.6, 0.3 + lean, -0.88, 1.35 + lean, 0.6)
    x = 0.3 + lean
    pen.poly(PAPER, x - 0.28, -0.47, x, -0.88, x + 0.3, -0.46, x + 0.12, -0.34, x, -0.5, x - 0.14, -0.3)
    pen.poly(PAPER, -0.76 + lean, -0.2, -0.55 + lean, -0.5, -0.32 + lean, -0.2, -0.5 + lean, -0.26)
    ground = {"grass": (92, 180, 72), "snow": (236, 242, 250), "sea": (40, 116, 176)}[look.setting]
    pen.box(ground, -1.1, 0.55, 1.1, 1.1)
    if look.setting == "sea":
        pen.poly((58, 92, 140), -0.3 + lean, 0.56, 0.9 + lean, 0.56, 0.3 + lean, 0.95)


def room(pen: Pen, look: Look) -> None:
    """Walls in the named colour in perspective, a floor, a window and the furniture of its use."""
    pen.box(look.tint, -1.1, -1.1, 1.1, 1.1)
    pen.poly(look.shade, -1.1, -1.1, -0.6, -0.7, -0.6, 0.4, -1.1, 1.0)
    pen.poly(lighter(look.tint, 0.6), -1.1, -1.1, 1.1, -1.1, 0.6, -0.7, -0.6, -0.7)
    pen.poly((164, 112, 70), -1.1, 1.1, -0.6, 0.4, 1.1, 0.4, 1.1, 1.1)
    pen.box(PAPER, 0.1, -0.5, 0.7, 0.05)
    pen.box((150, 210, 246), 0.16, -0.44, 0.64, -0.01)
    _FURNITURE[look.setting](pen)


def _sofa(pen: Pen) -> None:
    pen.box((96, 90, 100), -0.5, 0.05, 0.6, 0.55)
    pen.box((130, 124, 134), -0.6, 0.35, 0.7, 0.75)
    pen.oval((214, 190, 150), 0.1, 0.95, 0.5, 0.1)


def _double_bed(pen: Pen) -> None:
    pen.box((110, 70, 44), -0.5, 0.0, 0.6, 0.4)
    pen.poly((240, 240, 246), -0.5, 0.3, 0.6, 0.3, 0.85, 0.85, -0.7, 0.85)
    pen.poly((120, 140, 190), -0.58, 0.5, 0.7, 0.5, 0.85, 0.95, -0.7, 0.95)
    pen.oval(PAPER, -0.2, 0.28, 0.2, 0.1)
    pen.oval(PAPER, 0.3, 0.28, 0.2, 0.1)


def _counter(pen: Pen) -> None:
    pen.box((236, 236, 236), -0.6, 0.2, 1.1, 0.75)
    pen.box((70, 72, 80), -0.6, 0.14, 1.1, 0.24)
    pen.box((120, 124, 130), -0.45, -0.65, -0.1, 0.75)
    pen.box((80, 84, 90), -0.4, 0.0, -0.15, 0.05)
    pen.box((40, 42, 48), 0.35, 0.34, 0.8, 0.65)


_FURNITURE: dict[str, Callable[[Pen], None]] = {"living room": _sofa, "bedroom": _double_bed, "kitchen": _counter}


def pattern(pen: Pen, look: Look) -> None:
    """Dots, stripes, checks or waves in one colour on white."""
    pen.box(PAPER, -1.1, -1.1, 1.1, 1.1)
    step = 0.5
    shift = (look.rolls[0] - 0.5) * step
    _MOTIFS[look.variant](pen, look.tint, shift, step)


def _dots(pen: Pen, tint: RGB, shift: float, step: float) -> None:
    for i in range(-2, 4):
        for j in range(-2, 4):
            pen.oval(tint, (i - 0.5) * step + shift, (j - 0.5) * step + shift, step * 0.3)


def _stripes(pen: Pen, tint: RGB, shift: float, step: float) -> None:
    for i in range(-3, 4):
        pen.box(tint, i * step + shift, -1.1, i * step + shift + step / 2, 1.1)


def _checks(pen: Pen, tint: RGB, shift: float, step: float) -> None:
    for i in range(-3, 4):
        for j in range(-3, 4):
            if (i + j) % 2 == 0:
                pen.box(tint, i * step + shift, j * step + shift, (i + 1) * step + shift, (j + 1) * step + shift)


def _waves(pen: Pen, tint: RGB, shift: float, step: float) -> None:
    for j in range(-2, 4):
        y = j * step + shift
        flat: list[float] = []
        for i in range(-3, 4):
            flat += [i * 0.4, y + (0.12 if i % 2 else -0.12)]
        pen.line(tint, 0.16, *flat)


_MOTIFS = by_name(_dots, _stripes, _checks, _waves)
MOTIFS: tuple[str, ...] = tuple(_MOTIFS)


def concert(pen: Pen, look: Look) -> None:
    """A crowd of dark heads before a stage with three beams of coloured light and a singer."""
    pen.box((16, 12, 26), -1.1, -1.1, 1.1, 1.1)
    sway = 0.3 * (look.rolls[0] - 0.5)
    for x in (-0.7, 0.0, 0.7):
        pen.poly(darker(look.tint, 0.25), x - 0.06, -1.1, x + 0.06, -1.1, x + 0.34 + sway, 0.4, x - 0.34 + sway, 0.4)
        pen.oval(look.light, x, -0.95, 0.13)
    pen.box(look.tint, -1.1, 0.26, 1.1, 1.1)
    pen.box(look.light, -1.1, 0.26, 1.1, 0.4)
    pen.line((8, 8, 12), 0.16, sway, 0.32, sway, -0.12)
    pen.oval((8, 8, 12), sway, -0.3, 0.13)
    for i in range(5):
        x = -0.9 + i * 0.46 + sway * 0.5
        pen.oval((8, 8, 14), x, 0.72, 0.17)
        pen.oval((8, 8, 14), x, 1.14, 0.27)
        if i % 2 == 0:
            pen.line((8, 8, 14), 0.09, x + 0.16, 0.9, x + 0.24, 0.5)


ARTISTS = by_name(sunset, skyline, mountain, room, pattern, concert)
