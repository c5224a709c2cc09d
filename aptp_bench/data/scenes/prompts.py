"""Caption-only prompts in the manner of PartiPrompts: the captions' words in compositions that no scene shows.

Two subjects in one picture, settings and colours a subject never has, drawings of what is only photographed. The
values of category and challenge are PartiPrompts' own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aptp_bench.data.scenes.captions import article, counted
from aptp_bench.data.scenes.catalog import CATALOG, RESERVED, WORDS, Subject
from aptp_bench.data.scenes.chance import pick
from aptp_bench.data.scenes.palette import HAIR, NAMED
from aptp_bench.data.scenes.phrases import AIR_PLACES, PLACES

CATEGORIES: dict[str, str] = {
    "animal": "Animals",
    "vehicle": "Vehicles",
    "food": "Food & Beverage",
    "street": "Artifacts",
    "outdoor": "Artifacts",
    "indoor": "Artifacts",
    "sport": "People",
    "portrait": "People",
    "landscape": "Outdoor Scenes",
    "illustration": "Illustrations",
    "sign": "Artifacts",
    "room": "Indoor Scenes",
    "concert": "Arts",
}
OUTDOORS = ("grass", "beach", "snow", "street", "sea", "savanna", "night", "hills", "desert", "stage")
BETWEEN = ("behind", "near", "in front of", "by", "to the left of", "to the right of", "with")
STYLES = ("a drawing of", "a cartoon picture of", "vector illustration of", "an abstract illustration of")
FRAMES = ("a photo of", "a beautiful picture of", "a view of", "a drawing of")


@dataclass(frozen=True)
class PartiPrompt:
    """One prompt with its labels, as a row of PartiPrompts' Prompt, Category and Challenge columns."""

    prompt: str
    category: str
    challenge: str


def prompts(seed: int = 0) -> list[PartiPrompt]:
    """192 different prompts; the reserved combinations come first and are the same under every seed."""
    rng = random.Random(f"prompts/{seed}")
    found = {p.prompt: p for p in _reserved()}
    for count, challenge, write in BUILDERS:
        goal = len(found) + count
        while len(found) < goal:
            text, subject = write(rng)
            found.setdefault(text, PartiPrompt(text, CATEGORIES[subject.kind], challenge))
    return list(found.values())


def _reserved() -> Iterator[PartiPrompt]:
    """One prompt for every combination that `sample` never yields."""
    for name, held_out in sorted(RESERVED):
        row = CATALOG[name]
        if held_out in NAMED:
            text, challenge = _coloured(row, held_out), "Simple Detail"
        else:
            text, challenge = f"{article(name)} {_place(row, held_out)}", "Imagination"
        yield PartiPrompt(text, CATEGORIES[row.kind], challenge)


def _coloured(row: Subject, colour: str) -> str:
    if row.kind == "sport":
        return f"{article(row.name)} in {article(colour)} shirt"
    if row.kind == "portrait":
        return f"portrait of {article(row.name)} in {article(colour)} {'dress' if row.name == 'woman' else 'shirt'}"
    if row.kind == "concert":
        return f"crowd at a concert under {colour} lights"
    return article(f"{colour} {row.name}")


def _place(row: Subject, setting: str) -> str:
    return (AIR_PLACES if row.place == "air" and setting in AIR_PLACES else PLACES)[setting][0]


def _of_kinds(*kinds: str) -> list[Subject]:
    return [row for row in CATALOG.values() if row.kind in kinds]


def _strange(rng: random.Random, row: Subject) -> str:
    """A place outdoors where the catalogue never puts the subject."""
    return _place(row, pick(rng, [s for s in OUTDOORS if s not in row.settings]))


def _tinted(rng: random.Random, row: Subject) -> str:
    return f"{pick(rng, tuple(NAMED))} {row.name}"


def _together(rng: random.Random) -> tuple[str, Subject]:
    """Three subjects, and how the first two stand to each other."""
    first = pick(rng, _of_kinds("animal", "vehicle", "indoor", "outdoor"))
    other = pick(rng, [row for row in _of_kinds("animal", "vehicle", "street", "indoor") if row.name != first.name])
    third = pick(
        rng, [row for row in _of_kinds("food", "outdoor", "sport") if row.name not in (first.name, other.name)]
    )
    left, right = article(_tinted(rng, first)), article(_tinted(rng, other))
    return f"{left} {pick(rng, BETWEEN)} {right} and {article(third.name)} {_strange(rng, first)}", first


def _counts(rng: random.Random) -> tuple[str, Subject]:
    """Two groups of different size, and one thing more."""
    kind = pick(rng, ("food", "animal", "illustration"))
    first = pick(rng, [row for row in _of_kinds(kind) if row.most > 1])
    other = pick(rng, [row for row in _of_kinds(kind) if row.most > 1 and row.name != first.name])
    sizes = pick(rng, ((2, 3), (3, 2), (3, 1), (1, 3)))
    groups = [counted(n, row.name, pick(rng, tuple(NAMED))) for n, row in zip(sizes, (first, other), strict=True)]
    alone = pick(rng, _of_kinds("street", "indoor"))
    return f"{groups[0]} with {groups[1]} and {article(alone.name)} {_strange(rng, first)}", first


def _styled(rng: random.Random) -> tuple[str, Subject]:
    """In the manner of an illustration what the world only photographs."""
    row = pick(rng, _of_kinds("animal", "vehicle", "food", "sport", "street"))
    return f"{pick(rng, STYLES)} {article(_tinted(rng, row))} {_strange(rng, row)}", row


def _written(rng: random.Random) -> tuple[str, Subject]:
    """Two written words beside something else."""
    row = pick(rng, _of_kinds("animal", "vehicle", "indoor"))
    board = article(f"{pick(rng, tuple(NAMED))} sign")
    words = f"{pick(rng, WORDS)} {pick(rng, WORDS)}"
    return f"{article(_tinted(rng, row))} near {board} that says {words} {_strange(rng, row)}", row


def _crowded(rng: random.Random) -> tuple[str, Subject]:
    """Three subjects, a place and a frame: about twice as long as any caption."""
    first = pick(rng, _of_kinds("sport", "animal", "vehicle"))
    second = pick(rng, [row for row in _of_kinds("animal", "vehicle", "street") if row.name != first.name])
    third = pick(rng, _of_kinds("outdoor", "indoor", "landscape"))
    rest = f"{article(_tinted(rng, second))} {pick(rng, BETWEEN[:-1])} {article(third.name)}"
    return f"{pick(rng, FRAMES)} {article(first.name)} {_strange(rng, first)} with {rest}", first


def _faces(rng: random.Random) -> tuple[str, Subject]:
    """Portraits where no portrait is taken, with company."""
    row = pick(rng, _of_kinds("portrait"))
    wear = f"{article(pick(rng, tuple(NAMED)))} {'dress' if row.name == 'woman' else 'shirt'}"
    friend = article(_tinted(rng, pick(rng, _of_kinds("animal"))))
    hair = pick(rng, tuple(HAIR))
    return f"portrait of a {row.name} with {hair} hair in {wear} {_strange(rng, row)} with {friend}", row


BUILDERS: tuple[tuple[int, str, Callable[[random.Random], tuple[str, Subject]]], ...] = (
    (32, "Properties & Positioning", _together),
    (24, "Quantity", _counts),
    (30, "Style & Format", _styled),
    (20, "Writing & Symbols", _written),
    (24, "Complex", _crowded),
    (16, "Fine-grained Detail", _faces),
)
