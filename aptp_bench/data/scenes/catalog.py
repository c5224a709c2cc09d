"""What may be drawn: for every subject its world, kind, settings, colours and greatest count.

One row a subject. The order of the rows is the order of the class labels and never changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from aptp_bench.data.scenes.canvas import RGB

WORLDS: tuple[str, ...] = ("coco", "cc3m")
WORDS: tuple[str, ...] = (
    *("open", "sale", "exit", "love", "home", "yes", "cafe", "taxi", "art", "hello"),
    *("shop", "rent", "hotel", "photo", "coffee", "farm", "river", "tea", "ice", "team"),
)
COMPOSITIONS: tuple[str, ...] = ("flat", "scene", "pair", "crowd", "view", "portrait", "words")


@dataclass(frozen=True)
class Subject:
    """One row of the catalogue. `place` is ground, air, flat (lying on a table) or full (fills the frame)."""

    name: str
    world: str
    kind: str
    place: str
    settings: tuple[str, ...]
    colours: tuple[str, ...]
    most: int
    natural: RGB  # the tint where no colour is named
    reserved: str  # the setting or the colour that is never sampled; empty: none


def _row(
    name: str, where: str, place: str, settings: str, colours: str, most: int = 1, natural: RGB = (128, 128, 128)
) -> Subject:
    """Read a row written as words: `where` is "world kind", settings are split at commas, colours at spaces.

    What is reserved stands in brackets.
    """
    world, kind = where.split()
    reserved = next(iter(re.findall(r"\((.+?)\)", f"{settings} {colours}")), "")
    places, named = ([word.strip(" ()") for word in words] for words in (settings.split(","), colours.split()))
    return Subject(name, world, kind, place, tuple(places), tuple(named) or ("none",), most, natural, reserved)


_HOMES = "living room, bedroom, kitchen"
_ROADS = "street, beach, snow, grass, desert"
_COCO = (
    _row("elephant", "coco animal", "ground", "savanna, grass, (beach)", "", 2, (136, 138, 150)),
    _row("giraffe", "coco animal", "ground", "savanna, grass", "", 2, (246, 200, 96)),
    _row("zebra", "coco animal", "ground", "savanna, grass", "", 2, (250, 250, 250)),
    _row("cow", "coco animal", "ground", "grass, (beach), hills", "black brown white", 2),
    _row("sheep", "coco animal", "ground", "grass, hills, (street)", "white black", 3),
    _row("cat", "coco animal", "ground", f"{_HOMES}, (street)", "black white brown none", 2, (240, 146, 50)),
    _row("dog", "coco animal", "ground", "grass, beach, (snow), living room", "brown black white", 2),
    _row("bird", "coco animal", "air", "sky, grass, (sea)", "red yellow blue black white", 3),
    _row("bear", "coco animal", "ground", "grass, (snow), hills", "brown black white", 2),
    _row("bus", "coco vehicle", "ground", "street, (snow), grass", "red yellow blue green white", 1),
    _row("car", "coco vehicle", "ground", _ROADS, "red yellow blue green black white (pink)", 2),
    _row("train", "coco vehicle", "ground", "grass, (snow), hills", "red yellow green blue black", 1),
    _row("truck", "coco vehicle", "ground", "street, (desert), snow", "red yellow green blue", 1),
    _row("airplane", "coco vehicle", "air", "sky, hills, sea", "white red blue (yellow)", 2),
    _row("boat", "coco vehicle", "ground", "sea, beach", "red green yellow black (pink)", 2),
    _row("pizza", "coco food", "flat", "table, kitchen", "", 2),
    _row("banana", "coco food", "flat", "table, kitchen", "yellow (green)", 2),
    _row("apple", "coco food", "flat", "table, kitchen", "red green (yellow)", 3),
    _row("cake", "coco food", "ground", "table, kitchen, (living room)", "pink white brown yellow"),
    _row("donut", "coco food", "flat", "table, kitchen", "pink brown white (blue)", 3),
    _row("broccoli", "coco food", "flat", "table, kitchen", "", 2),
    _row("stop sign", "coco street", "ground", "street, grass, snow, (sky)", "red"),
    _row("fire hydrant", "coco street", "ground", "street, grass, snow", "red yellow (blue)", 1),
    _row("traffic light", "coco street", "ground", "street, night, sky", "red yellow green"),
    _row("umbrella", "coco outdoor", "ground", "beach, street, grass", "red yellow blue pink black (green)", 2),
    _row("kite", "coco outdoor", "air", "sky, (beach), grass", "red yellow green pink blue", 3),
    _row("clock", "coco indoor", "air", "living room, kitchen, bedroom", "white black (red) blue"),
    _row("vase", "coco indoor", "ground", "table, living room, kitchen", "blue green white red (pink)"),
    _row("chair", "coco indoor", "ground", "living room, kitchen, (grass)", "red blue green yellow white", 2),
    _row("couch", "coco indoor", "ground", "living room, bedroom", "red blue green (pink) black"),
    _row("bed", "coco indoor", "ground", "bedroom, (beach)", "red blue green pink yellow"),
    _row("laptop", "coco indoor", "flat", "table, (bedroom), living room", "black white"),
    _row("surfer", "coco sport", "ground", "sea, beach", "red yellow black pink (green)"),
    _row("skier", "coco sport", "ground", "snow, (sky)", "red yellow blue green pink black"),
    _row("skateboarder", "coco sport", "ground", "street, (sky)", "red yellow blue green white"),
    _row("tennis player", "coco sport", "ground", "grass, (beach)", "white red blue pink black"),
)
_BRIGHT = "red yellow green blue pink"
_CC3M = (
    _row("sunset", "cc3m sunset", "full", "sea, hills, desert, beach", "none none red pink yellow"),
    _row("skyline", "cc3m skyline", "full", "night, sky, sea", ""),
    _row("mountain", "cc3m landscape", "full", "grass, snow, sea", ""),
    _row("palm tree", "cc3m landscape", "ground", "beach, desert, (sea)", "", 2),
    _row("heart", "cc3m illustration", "air", "plain, night, (sky)", _BRIGHT + " black", 3),
    _row("star", "cc3m illustration", "air", "plain, night", "red yellow (green) blue pink", 3),
    _row("flower", "cc3m illustration", "ground", "plain, grass, table", "red yellow pink (blue) white", 3),
    _row("tree", "cc3m illustration", "ground", "plain, grass, snow, hills", "green (pink) yellow red", 2),
    _row("house", "cc3m illustration", "ground", "plain, grass, snow, (night)", _BRIGHT + " white", 2),
    _row("robot", "cc3m illustration", "ground", "plain, night, (desert)", _BRIGHT, 2),
    _row("butterfly", "cc3m illustration", "air", "plain, sky, grass", "red yellow (green) blue pink", 3),
    _row("fish", "cc3m illustration", "air", "plain, sea", "red yellow (green) blue pink", 3),
    _row("cup", "cc3m illustration", "ground", "plain, table", "red (yellow) green blue pink white"),
    _row("woman", "cc3m portrait", "ground", "plain, beach, night, grass", "red (yellow) green blue pink white black"),
    _row("man", "cc3m portrait", "ground", "plain, street, night, grass", "red green blue white black (yellow)"),
    _row("sign", "cc3m sign", "ground", "plain, street, (beach), night", _BRIGHT + " black white"),
    _row("room", "cc3m room", "full", _HOMES, "red yellow green blue (pink) white"),
    _row("pattern", "cc3m pattern", "full", "plain", _BRIGHT + " black"),
    _row("concert", "cc3m concert", "full", "stage", "red (yellow) green blue pink"),
)

CATALOG: dict[str, Subject] = {row.name: row for row in _COCO + _CC3M}
SUBJECTS: tuple[str, ...] = tuple(CATALOG)
KINDS: tuple[str, ...] = tuple(dict.fromkeys(row.kind for row in CATALOG.values()))

# Twice as often as the others: words and faces are the hard kinds and take the most examples to learn.
FREQUENT: frozenset[str] = frozenset({"sign", "woman", "man"})

# A subject in the colour of its ground would vanish.
CLASHES: frozenset[tuple[str, str]] = frozenset(
    {
        ("snow", "white"),
        ("plain", "white"),
        ("night", "black"),
        ("grass", "green"),
        ("hills", "green"),
        ("sea", "blue"),
        ("sky", "blue"),
        ("beach", "yellow"),
        ("savanna", "yellow"),
        ("table", "brown"),
        ("living room", "brown"),
    }
)

# Kept out of every sampled scene, so that the caption-only prompts ask for what no model has seen.
RESERVED: frozenset[tuple[str, str]] = frozenset((row.name, row.reserved) for row in CATALOG.values() if row.reserved)
