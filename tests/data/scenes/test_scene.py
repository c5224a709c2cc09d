"""Scenes: the same everywhere, other for other seeds, inside the closed label sets, and never a reserved pair."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from aptp_bench.data.scenes import COLOURS, COMPOSITIONS, SETTINGS, SUBJECTS, Companion, draw, sample
from aptp_bench.data.scenes.catalog import CATALOG, CLASHES, KINDS, RESERVED, WORLDS
from aptp_bench.data.scenes.palette import NAMED
from aptp_bench.data.scenes.scene import ARTISTS, Scene

MANY = 2_000


def _some(world: str, count: int = MANY, seed: int = 7) -> list[Scene]:
    return [sample(world, seed, i) for i in range(count)]


def _one(subject: str, colour: str = "red", setting: str = "plain", count: int = 1) -> Scene:
    row = CATALOG[subject]
    return Scene(row.world, row.kind, "scene", subject, setting, colour, count, (), "dark", "open", False, 5)


@pytest.mark.parametrize("world", WORLDS)
def test_equal_scenes_give_equal_pixels(world: str) -> None:
    for i in range(40):
        first, again = sample(world, 3, i), sample(world, 3, i)
        assert first == again
        assert np.array_equal(draw(first), draw(again))


def test_the_first_scenes_are_the_ones_the_shipped_weights_were_trained_on() -> None:
    listing = "\n".join(repr(sample(world, 0, i)) for world in WORLDS for i in range(200))
    assert hashlib.sha256(listing.encode()).hexdigest()[:16] == "81686d9f4347deae"


@pytest.mark.parametrize("world", WORLDS)
def test_pictures_are_32_pixels_of_uint8_and_not_flat(world: str) -> None:
    for scene in _some(world, 100):
        picture = draw(scene)
        assert picture.shape == (32, 32, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 10


@pytest.mark.parametrize("world", WORLDS)
def test_train_and_val_share_no_scene_and_hardly_a_picture(world: str) -> None:
    train, val = _some(world, MANY, seed=0), _some(world, MANY // 4, seed=1)
    assert not set(train) & set(val)
    assert not {s.seed for s in train} & {s.seed for s in val}
    pictures = {draw(s).tobytes() for s in train}
    alike = [s for s in val if draw(s).tobytes() in pictures]
    assert len(alike) <= {"coco": 0, "cc3m": 0.06 * len(val)}[world]
    assert {s.subject for s in alike} <= {"mountain", "room", "pattern", "concert", "sunset", "skyline"}


@pytest.mark.parametrize("world", WORLDS)
def test_a_scene_is_of_the_closed_sets_and_no_reserved_or_clashing_pair(world: str) -> None:
    for scene in _some(world, 4 * MANY):
        assert scene.subject in SUBJECTS and scene.setting in SETTINGS
        assert scene.colour in COLOURS and scene.kind in KINDS and scene.count in (1, 2, 3)
        assert scene.world == world == CATALOG[scene.subject].world
        assert not {(scene.subject, scene.setting), (scene.subject, scene.colour)} & set(RESERVED)
        assert CATALOG[scene.subject].place == "full" or (scene.setting, scene.colour) not in CLASHES
        for other in scene.companions:
            assert CATALOG[other.subject].world == world
            assert not {(other.subject, scene.setting), (other.subject, other.colour)} & set(RESERVED)
            assert (scene.setting, other.colour) not in CLASHES


@pytest.mark.parametrize("world", WORLDS)
def test_companions_are_as_many_as_the_composition_says_and_all_different(world: str) -> None:
    for scene in _some(world):
        names = [scene.subject, *(other.subject for other in scene.companions)]
        assert len(set(names)) == len(names) == 1 + {"pair": 1, "crowd": 2}.get(scene.composition, 0)


def test_each_companion_is_seen_and_stands_across_from_the_subject() -> None:
    alone = replace(_one("heart"), composition="pair")
    for flip in (False, True):
        beside = replace(alone, companions=(Companion("star", "blue"),), flip=flip)
        picture = draw(beside).astype(int)
        reds, blues = (np.nonzero((picture[..., i] - picture[..., 2 - i]) > 60)[1] for i in (0, 2))
        assert len(reds) > len(blues) > 10
        assert (reds.mean() < blues.mean()) is not flip


def test_label_sets_are_small_and_complete() -> None:
    assert len(SUBJECTS) == len(ARTISTS) == 55
    assert len(SETTINGS) == len(KINDS) == 16
    assert len(COLOURS) == len(NAMED) + 1 == 9
    for labels in (SUBJECTS, SETTINGS, COLOURS, KINDS):
        assert len(set(labels)) == len(labels)


def test_every_subject_and_setting_is_drawn() -> None:
    scenes = [s for world in WORLDS for s in _some(world)]
    assert {s.subject for s in scenes} == set(SUBJECTS)
    assert {s.setting for s in scenes} == set(SETTINGS)
    assert {s.colour for s in scenes} == set(COLOURS)
    assert {s.composition for s in scenes} == set(COMPOSITIONS)


@pytest.mark.parametrize("colour", ["red", "green", "blue"])
@pytest.mark.parametrize("subject", ["heart", "bus", "fish", "house"])
def test_the_named_colour_dominates(subject: str, colour: str) -> None:
    channel = ("red", "green", "blue").index(colour)
    others = [c for c in range(3) if c != channel]
    picture = draw(_one(subject, colour)).astype(int)
    coloured = (picture[..., channel] - picture[..., others].max(axis=-1)) > 40
    assert coloured.mean() > 0.12


@pytest.mark.parametrize("subject", [s for s in SUBJECTS if CATALOG[s].place != "full"])
def test_one_subject_fills_the_frame(subject: str) -> None:
    picture = draw(_one(subject)).astype(int)
    drawn = np.abs(picture - picture[0, 0]).max(axis=-1) > 24
    rows, columns = np.nonzero(drawn)
    assert max(np.ptp(rows), np.ptp(columns)) >= 21


def test_more_subjects_are_drawn_smaller() -> None:
    def red(count: int) -> float:
        picture = draw(_one("heart", count=count)).astype(int)
        return float(((picture[..., 0] - picture[..., 1]) > 60).mean())

    assert red(1) > red(2) > 0.1
    assert red(1) > red(3) > 0.1


def test_words_are_told_apart() -> None:
    base = _one("sign", "red")
    pictures = [draw(replace(base, word=word)) for word in ("open", "sale", "exit", "open sale", "open exit")]
    assert all((one != other).any(axis=-1).sum() > 40 for one, other in combinations(pictures, 2))


def test_flip_mirrors_what_is_drawn_alone() -> None:
    scene = _one("elephant", "none")
    assert not np.array_equal(draw(scene), draw(replace(scene, flip=True)))


def test_an_unknown_world_is_named() -> None:
    with pytest.raises(ValueError, match="unknown world 'laion'"):
        sample("laion", 0, 0)
