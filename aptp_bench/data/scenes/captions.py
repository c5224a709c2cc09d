"""What people would write under a scene: COCO sentences and CC3M alt texts from a small closed vocabulary."""

from __future__ import annotations

import random
from collections.abc import Sequence

from aptp_bench.data.scenes import phrases
from aptp_bench.data.scenes.catalog import CATALOG
from aptp_bench.data.scenes.chance import pick
from aptp_bench.data.scenes.scene import Scene


def captions(scene: Scene) -> list[str]:
    """Five or more different captions of one scene; the first is the main one, picked by the scene's seed.

    Each names the subject, and most name the colour, the count and the setting.
    """
    rng = random.Random(f"captions/{scene.seed}")
    # its composition's, the subject's own, its kind's, or its world's
    names = (f"{scene.world} {scene.composition}", scene.subject, scene.kind, scene.world)
    fitting = next(name for name in names if name in phrases.TEMPLATES)
    templates = list(phrases.TEMPLATES[fitting])
    for i in range(len(templates) - 1, 0, -1):
        j = int(rng.random() * (i + 1))
        templates[i], templates[j] = templates[j], templates[i]
    written = [_finish(t.format(**_slots(scene, rng)), scene.world) for t in templates]
    return list(dict.fromkeys(written))


def _slots(scene: Scene, rng: random.Random) -> dict[str, str]:
    """The words that templates may ask for; synonyms are picked anew for every caption."""
    place = scene.setting
    actions = phrases.ACTIONS.get(scene.subject) or phrases.ACTIONS.get(scene.kind, ("",))
    colour = "" if scene.colour == "none" else scene.colour
    noun = scene.subject if scene.count == 1 else plural(scene.subject)
    return {
        "np": counted(scene.count, scene.subject, colour),
        "bare": counted(scene.count, scene.subject),
        "noun": noun,
        "colour": colour,
        "tinted": f"{colour} {noun}".strip(),
        "a_colour": article(colour) if colour else "",
        "be": "is" if scene.count == 1 else "are",
        "act": pick(rng, actions),
        "place": pick(rng, _places(scene)),
        "over": pick(rng, phrases.OVER.get(place, ("",))),
        "when": pick(rng, phrases.WHEN.get(place, ("",))),
        "ground": pick(rng, phrases.GROUND.get(place, ("",))),
        "wear": phrases.WEAR.get(scene.subject, "shirt"),
        "variant": scene.variant,
        "word": scene.word,
        "one": named(scene.count, scene.subject, scene.colour),
        "beside": pick(rng, phrases.BESIDE[scene.flip]),
        "others": " and ".join(named(1, other.subject, other.colour) for other in scene.companions),
        "setting": place,
    }


def _places(scene: Scene) -> Sequence[str]:
    """Where the subject is, in words: birds fly over a field, cows stand in it."""
    if scene.variant == "under" and scene.setting == "sea":
        return phrases.UNDER_WATER
    if scene.kind == "food" and scene.setting == "kitchen":
        return phrases.COUNTER
    if CATALOG[scene.subject].place == "air" and scene.setting in phrases.AIR_PLACES:
        return phrases.AIR_PLACES[scene.setting]
    return phrases.PLACES[scene.setting]


def named(count: int, subject: str, colour: str) -> str:
    """A subject among others: "two red buses", "a surfer in red"."""
    if colour == "none":
        return counted(count, subject)
    if CATALOG[subject].kind == "sport":
        return f"{counted(count, subject)} in {colour}"
    return counted(count, subject, colour)


def counted(count: int, noun: str, colour: str = "") -> str:
    """One, two or three of something: "a bus", "two red buses"."""
    if count == 1:
        return article(f"{colour} {noun}".strip())
    return " ".join(f"{phrases.NUMBERS[count]} {colour} {plural(noun)}".split())


def plural(noun: str) -> str:
    """Several of a noun."""
    return phrases.PLURALS.get(noun, noun + "s")


def article(noun: str) -> str:
    """A noun with "a" or "an" before it."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _finish(text: str, world: str) -> str:
    """Close gaps left by empty slots; COCO captions are sentences, CC3M alt texts are lower case without a stop."""
    text = " ".join(text.split())
    return text[0].upper() + text[1:] + "." if world == "coco" else text
