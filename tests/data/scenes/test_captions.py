"""Captions: five or more, all different, all naming the subject, from a small closed vocabulary."""

from __future__ import annotations

import re

import pytest

from aptp_bench.data.scenes import captions, sample
from aptp_bench.data.scenes.captions import article, counted, plural
from aptp_bench.data.scenes.catalog import WORDS, WORLDS
from aptp_bench.data.scenes.scene import Scene

SCENES = {world: [sample(world, 11, i) for i in range(3_000)] for world in WORLDS}


def _named(scene: Scene, caption: str) -> bool:
    stem = plural(scene.subject) if scene.count > 1 else scene.subject
    return stem in caption.lower()


@pytest.mark.parametrize("world", WORLDS)
def test_five_or_more_different_captions(world: str) -> None:
    for scene in SCENES[world]:
        written = captions(scene)
        assert len(written) == len(set(written)) >= 5
        assert written == captions(scene)


@pytest.mark.parametrize("world", WORLDS)
def test_every_caption_names_the_subject(world: str) -> None:
    for scene in SCENES[world]:
        for caption in captions(scene):
            assert _named(scene, caption), (scene, caption)


@pytest.mark.parametrize("world", WORLDS)
def test_most_captions_name_the_colour_and_the_count(world: str) -> None:
    for scene in SCENES[world]:
        written = captions(scene)
        if scene.colour != "none":
            assert sum(scene.colour in c.lower() for c in written) > len(written) / 2
        if scene.count > 1:
            number = {2: "two", 3: "three"}[scene.count]
            assert sum(number in c.lower() for c in written) > len(written) / 2


def test_a_sign_says_its_word() -> None:
    for scene in SCENES["cc3m"]:
        if scene.kind == "sign":
            assert set(scene.word.split()) <= set(WORDS)
            assert all(scene.word in c for c in captions(scene))


@pytest.mark.parametrize("world", WORLDS)
def test_every_caption_names_the_companions_and_their_colours(world: str) -> None:
    for scene in SCENES[world]:
        for companion in scene.companions:
            for caption in captions(scene):
                assert companion.subject in caption
                assert companion.colour in ("none", *caption.replace(".", "").split())


def test_who_stands_on_the_left_is_never_said_wrongly() -> None:
    for world in WORLDS:
        for scene in SCENES[world]:
            wrong = "to the left" if scene.flip else "to the right"
            assert not any(wrong in caption for caption in captions(scene))


def test_text_is_clean() -> None:
    for world in WORLDS:
        for scene in SCENES[world]:
            for caption in captions(scene):
                assert not re.search(r"[{}]|  |^ | \.$|\ba [aeiou]", caption), caption


def test_coco_writes_sentences_and_cc3m_alt_texts() -> None:
    assert all(c[0].isupper() and c.endswith(".") for s in SCENES["coco"] for c in captions(s))
    assert all(c == c.lower() and not c.endswith(".") for s in SCENES["cc3m"] for c in captions(s))


def test_the_vocabulary_is_small() -> None:
    words = {
        w for world in WORLDS for s in SCENES[world] for c in captions(s) for w in re.findall(r"[a-z]+", c.lower())
    }
    assert 200 < len(words) <= 700


def test_the_main_caption_is_spread_over_the_phrasings() -> None:
    starts = {captions(s)[0].split()[0] for s in SCENES["coco"]}
    assert {"A", "There", "The", "Two"} <= starts


def test_nouns() -> None:
    assert article("apple") == "an apple"
    assert article("red apple") == "a red apple"
    assert counted(1, "umbrella") == "an umbrella"
    assert counted(2, "bus", "red") == "two red buses"
    assert counted(3, "sheep") == "three sheep"
