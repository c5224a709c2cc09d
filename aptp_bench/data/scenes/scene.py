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

# For every count the centres and the half width, in canvas pixels.
LAYOUTS: dict[int, tuple[tuple[tuple[float, float], ...], float]] = {
    1: (((64, 66),), 54),
    2: (((34, 60), (94, 78)), 34),
    3: (((35, 42), (93, 42), (64, 93)), 29),
}


@dataclass(frozen=True)
class Scene:
    """Everything needed to draw and to caption one picture."""

    world: str  # "coco" or "cc3m"
    kind: str
    subject: str
    setting: str
    colour: str  # one of the eight, or "none"
    count: int  # 1..3
    variant: str  # hair of a portrait, motif of a pattern, "under" water for a fish, else ""
    word: str  # what a sign says, else ""
    flip: bool
    seed: int  # of the jitter and of the phrasing


def sample(world: str, seed: int, index: int) -> Scene:
    """The scene number `index` of a world under a seed: the same on every machine.

    Raises ValueError for a world other than "coco" and "cc3m".
    """
    rng = random.Random(f"{world}/{seed}/{index}")
    row = CATALOG[pick(rng, _population(world))]
    setting = pick(rng, [s for s in row.settings if s != row.reserved])
    shows = [c for c in row.colours if (setting, c) not in CLASHES or row.place == "full"]
    colour = pick(rng, [c for c in shows if c != row.reserved])
    count = pick(rng, COUNTS[row.most])
    return Scene(
        world=world,
        kind=row.kind,
        subject=row.name,
        setting=setting,
        colour=colour,
        count=count,
        variant=_variant(rng, row),
        word=pick(rng, WORDS) if row.kind == "sign" else "",
        flip=row.kind != "sign" and row.name != "stop sign" and rng.random() < 0.5,
        seed=int(rng.random() * 2**32),
    )


def draw(scene: Scene) -> np.ndarray:
    """Draw a scene. Returns uint8 [32, 32, 3], RGB; equal scenes give equal pixels."""
    rng = random.Random(scene.seed)
    canvas = Image.new("RGB", (SIDE, SIDE))
    frame = Pen(canvas, SIDE / 2, SIDE / 2, SIDE / 2, scene.flip)
    look = _look(scene, rng)
    artist = ARTISTS[scene.subject]
    if CATALOG[scene.subject].place == "full":
        artist(frame, look)
        return shrink(canvas)
    settings.PAINTERS[scene.setting](frame, look)
    centres, size = LAYOUTS[scene.count]
    for x, y in centres:
        scale = size * (0.9 + 0.12 * rng.random())
        dx, dy = (rng.random() - 0.5) * 10, (rng.random() - 0.5) * 8
        artist(Pen(canvas, x + dx, y + dy, scale, scene.flip), look)
    return shrink(canvas)


@cache
def _population(world: str) -> tuple[str, ...]:
    """The subjects of a world, frequent ones twice."""
    if world not in WORLDS:
        raise ValueError(f"unknown world {world!r}: expected one of {', '.join(WORLDS)}")
    names = [name for name, row in CATALOG.items() if row.world == world]
    return tuple(names + [name for name in names if name in FREQUENT])


def _variant(rng: random.Random, row: Subject) -> str:
    if row.kind == "portrait":
        return pick(rng, tuple(HAIR))
    if row.kind == "pattern":
        return pick(rng, scenery.MOTIFS)
    return "under" if row.name == "fish" else ""


def _look(scene: Scene, rng: random.Random) -> Look:
    base = CATALOG[scene.subject].natural if scene.colour == "none" else NAMED[scene.colour]
    tint = jitter(base, rng.random())
    rolls = (rng.random(), rng.random(), rng.random(), rng.random())
    return Look(tint, darker(tint), lighter(tint), scene.colour, scene.setting, scene.variant, scene.word, rolls)
