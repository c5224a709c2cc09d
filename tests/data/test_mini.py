"""The mini world as datasets: sizes, determinism, disjoint splits, no files."""

from __future__ import annotations

import numpy as np
import pytest

from aptp_bench.data.mini import LABELS, SEEDS, MiniCC3M, MiniCOCO, MiniDataset, MiniPartiPrompts
from aptp_bench.data.scenes import captions, draw, sample
from aptp_bench.errors import ConfigError, DataError
from aptp_bench.plugins import DatasetPlugin

MINIS = pytest.mark.parametrize("kind", [MiniCOCO, MiniCC3M])


@MINIS
@pytest.mark.parametrize("split", SEEDS)
def test_rows_are_the_scenes_of_the_splits_own_seed(kind: type[MiniDataset], split: str) -> None:
    rows = kind(train=6, val=4).load(split)
    assert set(rows.column_names) == {"image", "caption", *LABELS} and SEEDS["train"] != SEEDS["val"]
    for i, row in enumerate(rows):
        scene = sample(kind.drawn, SEEDS[split], i)
        assert np.array_equal(np.array(row["image"]), draw(scene))
        assert row["caption"] == captions(scene)[0]
        assert {name: row[name] for name in LABELS} == {name: getattr(scene, name) for name in LABELS}


@MINIS
def test_splits_have_the_sizes_asked_for(kind: type[MiniDataset]) -> None:
    data = kind(train=6, val=4)
    assert [len(data.load(split)) for split in data.splits] == [6, 4]
    assert len(data.load("train", limit=2)) == 2
    assert len(data.load("val", limit=99)) == 4
    assert data.load("train", limit=2)["caption"][:2] == data.load("train")["caption"][:2]


def test_the_worlds_differ() -> None:
    assert set(MiniCOCO(train=200).load("train")["kind"]).isdisjoint(MiniCC3M(train=200).load("train")["kind"])


def test_prompts_are_captions_alone() -> None:
    rows = MiniPartiPrompts().load("val")
    assert len(rows) == 192
    assert set(rows.column_names) == {"caption", "category", "challenge"}
    assert len(MiniPartiPrompts().load("val", limit=5)) == 5


@pytest.mark.parametrize("kind", [MiniCOCO, MiniCC3M, MiniPartiPrompts])
def test_an_unknown_split_is_refused(kind: type[DatasetPlugin]) -> None:
    with pytest.raises(DataError, match="has no split 'test'; use one of"):
        kind().load("test")
    assert kind.world == "mini"


def test_sizes_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="train"):
        MiniCOCO(train=0)
