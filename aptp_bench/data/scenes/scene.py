"""One scene: sampled from (world, seed, index), drawn as a 32x32 picture.

Train and validation scenes come from different seeds; a scene's random numbers are seeded by the text
"world/seed/index", so the splits share no scene. Two scenes may still look alike to the pixel where little can
vary: of 2,000 cc3m validation pictures 116, nearly all mountains and rooms, are also among 20,000 for training;
of coco's, none.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from aptp_bench.data.scenes import animals, food, people, pictures, scenery, settings, things, vehicles
from aptp_bench.data.scenes.canvas import SIDE, Look, Pen, shrink
from aptp_bench.data.scenes.catalog import CATALOG, CLASHES, FREQUENT, WORDS, WORLDS, Subject
from aptp_bench.data.scenes.chance import pick
from aptp_bench.data.scenes.palette import HAIR, NAMED, darker, jitter, lighter

ARTISTS = animals.ARTISTS | vehicles.ARTISTS | food.ARTISTS | things.ARTISTS
ARTISTS |= people.ARTISTS | pictures.ARTISTS | scenery.ARTISTS

# How often one, two or three are drawn where at most that many fit.
COUNTS: dict[int, tuple[int, ...]] = {1: (1,), 2: (1, 1, 1, 2, 2), 3: (1, 1, 1, 2, 2, 3)}

# How often a subject that can stand in a setting is drawn alone on white, alone or with its like in a setting, beside another
# subject, and among others. From the first to the last a picture holds more that a smaller network can lose.
SHARES: tuple[str, ...] = ("flat",) * 6 + ("scene",) * 5 + ("pair",) * 5 + ("crowd",) * 4
ALONE: dict[str, str] = {"portrait": "portrait", "sign": "words"}  # kinds that are always composed in the same way

# For every count the centres and the half width, in canvas pixels.
LAYOUTS: dict[int, tuple[tuple[tuple[float, float], ...], float]] = {
    1: (((64, 66),), 54),
    2: (((34, 60), (94, 78)), 34),
    3: (((35, 42), (93, 42), (64, 93)), 29),
}
# The same of the subject, then of its companions, by the composition and how many subjects there are.
BESIDE = {("pair", 1): (((38, 64),), 38), ("crowd", 1): (((38, 46),), 30), ("crowd", 2): (((34, 40), (94, 40)), 25)}
COMPANIONS = {
    ("pair", 1): (((98, 74),), 25),
    ("crowd", 1): (((98, 42), (66, 98)), 22),
    ("crowd", 2): (((36, 98), (94, 98)), 20),
}


@dataclass(frozen=True)
class Companion:
    """A smaller subject beside the scene's own, one of it."""

    subject: str
    colour: str


@dataclass(frozen=True)
class Scene:
    """Everything needed to draw and to caption one picture."""

    world: str  # "coco" or "cc3m"
    kind: str
    composition: str  # one of COMPOSITIONS
    subject: str
    setting: str
    colour: str  # one of the eight, or "none"
    count: int  # 1..3, of the subject
    companions: tuple[Companion, ...]  # none, one or two
    variant: str  # hair of a portrait, motif of a pattern, "under" water for a fish, else ""
    word: str  # what a sign says, one word or two, else ""
    flip: bool  # mirrored; of a pair: the subject stands on the right
    seed: int  # of the jitter and of the phrasing


def sample(world: str, seed: int, index: int) -> Scene:
    """The scene number `index` of a world under a seed: the same on every machine.

    Raises ValueError for a world other than "coco" and "cc3m".
    """
    rng = random.Random(f"{world}/{seed}/{index}")
    row = CATALOG[pick(rng, _population(world))]
    composition = "view" if row.place == "full" else ALONE.get(row.kind) or pick(rng, SHARES)
    fewest = {"pair": 1, "crowd": 2}.get(composition, 0)
    settings_ = [s for s in _settings(row) if len(_partners(row, s)) >= fewest]
    if not settings_:
        composition, fewest, settings_ = "scene", 0, _settings(row)
    setting = "plain" if composition == "flat" else pick(rng, settings_)
    companions: list[Companion] = []
    for _ in range(fewest):
        other = pick(
            rng, [each for each in _partners(row, setting) if each.name not in {c.subject for c in companions}]
        )
        companions.append(Companion(other.name, pick(rng, _colours(other, setting))))
    most = {"flat": 1, "pair": 1, "crowd": min(2, row.most)}.get(composition, row.most)
    return Scene(
        world=world,
        kind=row.kind,
        composition=composition,
        subject=row.name,
        setting=setting,
        colour=pick(rng, _colours(row, setting)),
        count=pick(rng, COUNTS[most]),
        companions=tuple(companions),
        variant=_variant(rng, row),
        word=_word(rng) if row.kind == "sign" else "",
        flip=row.kind != "sign" and row.name != "stop sign" and rng.random() < 0.5,
        seed=int(rng.random() * 2**32),
    )


def draw(scene: Scene) -> np.ndarray:
    """Draw a scene. Returns uint8 [32, 32, 3], RGB; equal scenes give equal pixels."""
    rng = random.Random(scene.seed)
    canvas = Image.new("RGB", (SIDE, SIDE))
    frame = Pen(canvas, SIDE / 2, SIDE / 2, SIDE / 2, scene.flip)
    look = _look(scene, scene.subject, scene.colour, rng)
    if CATALOG[scene.subject].place == "full":
        ARTISTS[scene.subject](frame, look)
        return shrink(canvas)
    settings.PAINTERS[scene.setting](frame, look)
    composed = (scene.composition, scene.count)
    _place(canvas, scene, scene.subject, look, BESIDE.get(composed, LAYOUTS[scene.count]), rng)
    if scene.companions:
        centres, size = COMPANIONS[composed]
        for centre, other in zip(centres, scene.companions, strict=True):
            _place(canvas, scene, other.subject, _look(scene, other.subject, other.colour, rng), ((centre,), size), rng)
    return shrink(canvas)


def _place(
    canvas: Image.Image,
    scene: Scene,
    subject: str,
    look: Look,
    layout: tuple[tuple[tuple[float, float], ...], float],
    rng: random.Random,
) -> None:
    """Draw a subject at each centre of a layout, a little off and a little smaller or larger each time."""
    centres, size = layout
    for x, y in centres:
        scale = size * (0.9 + 0.12 * rng.random())
        dx, dy = (rng.random() - 0.5) * 10, (rng.random() - 0.5) * 8
        across = SIDE - x if scene.companions and scene.flip else x
        flip = scene.flip and subject != "stop sign"
        ARTISTS[subject](Pen(canvas, across + dx, y + dy, scale, flip), look)


@cache
def _population(world: str) -> tuple[str, ...]:
    """The subjects of a world, frequent ones twice."""
    if world not in WORLDS:
        raise ValueError(f"unknown world {world!r}: expected one of {', '.join(WORLDS)}")
    names = [name for name, row in CATALOG.items() if row.world == world]
    return tuple(names + [name for name in names if name in FREQUENT])


def _settings(row: Subject) -> list[str]:
    """Where a subject is drawn."""
    return [setting for setting in row.settings if setting != row.reserved]


def _colours(row: Subject, setting: str) -> list[str]:
    """The colours of a subject that show in a setting."""
    shows = [colour for colour in row.colours if (setting, colour) not in CLASHES or row.place == "full"]
    return [colour for colour in shows if colour != row.reserved]


@cache
def _partners(row: Subject, setting: str) -> tuple[Subject, ...]:
    """Other subjects of the same world that are drawn in a setting, or on white where anything may lie."""
    others = (each for each in CATALOG.values() if each.world == row.world and each.kind not in ALONE and each != row)
    return tuple(each for each in others if each.place != "full" and setting in _settings(each))


def _word(rng: random.Random) -> str:
    """One word, or as often two different ones."""
    first = pick(rng, WORDS)
    return first if rng.random() < 0.5 else f"{first} {pick(rng, [word for word in WORDS if word != first])}"


def _variant(rng: random.Random, row: Subject) -> str:
    if row.kind == "portrait":
        return pick(rng, tuple(HAIR))
    if row.kind == "pattern":
        return pick(rng, scenery.MOTIFS)
    return "under" if row.name == "fish" else ""


def _look(scene: Scene, subject: str, colour: str, rng: random.Random) -> Look:
    base = CATALOG[subject].natural if colour == "none" else NAMED[colour]
    tint = jitter(base, rng.random())
    rolls = (rng.random(), rng.random(), rng.random(), rng.random())
    return Look(tint, darker(tint), lighter(tint), colour, scene.setting, scene.variant, scene.word, rolls)
