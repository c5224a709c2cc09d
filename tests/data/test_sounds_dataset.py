"""The mini world's sounds as a dataset: sizes, determinism, disjoint splits, no files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aptp_bench.audio.mel import MINI
from aptp_bench.data import sounds
from aptp_bench.data.sounds_dataset import SEEDS, Sounds
from aptp_bench.errors import ConfigError, DataError


def grey(image: Any) -> np.ndarray:
    return np.asarray(image)[..., 0]


@pytest.mark.parametrize("split", SEEDS)
def test_rows_are_the_sounds_of_the_splits_own_seed(split: str) -> None:
    rows = Sounds(train=6, val=4).load(split)
    assert set(rows.column_names) == {"image", "caption", *sounds.LABELS}
    assert len(rows) == {"train": 6, "val": 4}[split]
    for i, row in enumerate(rows):
        sound = sounds.sample(SEEDS[split], i)
        assert np.array_equal(grey(row["image"]), MINI.spectrogram(sounds.render(sound)))
        assert row["caption"] == ""
        assert {name: row[name] for name in sounds.LABELS} == {name: getattr(sound, name) for name in sounds.LABELS}


def test_slices_columns_and_limits() -> None:
    data = Sounds(train=6, val=4)
    assert len(data.load("train", limit=2)) == 2 and len(data.load("val", limit=99)) == 4
    assert len(data.load("val", limit=0)) == 0
    rows = data.load("train")
    assert [image.size for image in rows[2:4]["image"]] == [(64, 64)] * 2
    assert np.array_equal(grey(rows[2:4]["image"][1]), grey(rows[3]["image"]))
    assert rows["kind"][:6] == [sounds.sample(0, i).kind for i in range(6)]  # labels alone play nothing


def test_splits_are_of_different_seeds() -> None:
    assert len(set(SEEDS.values())) == 2
    first, other = (grey(Sounds(train=1, val=1).load(split)[0]["image"]) for split in SEEDS)
    assert not np.array_equal(first, other)


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(DataError, match="has no split 'test'"):
        Sounds().load("test")
    with pytest.raises(ConfigError, match="train"):
        Sounds(train=0)
    assert (Sounds.world, Sounds.holds, Sounds.captioned) == ("mini", "sounds", False)
