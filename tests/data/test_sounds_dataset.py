"""The mini world's sounds as a dataset: sizes, determinism, disjoint splits, no files."""

from __future__ import annotations

import numpy as np
import pytest

from aptp_bench.data import sounds
from aptp_bench.data.sounds_dataset import SEEDS, Sounds
from aptp_bench.errors import ConfigError, DataError


@pytest.mark.parametrize("split", SEEDS)
def test_rows_are_the_sounds_of_the_splits_own_seed(split: str) -> None:
    rows = Sounds(train=6, val=4).load(split)
    assert set(rows.column_names) == {"audio", *sounds.LABELS}
    assert len(rows) == {"train": 6, "val": 4}[split]
    for i, row in enumerate(rows):
        sound = sounds.sample(SEEDS[split], i)
        assert row["audio"].dtype == np.float32 and np.array_equal(row["audio"], sounds.render(sound))
        assert {name: row[name] for name in sounds.LABELS} == {name: getattr(sound, name) for name in sounds.LABELS}


def test_slices_columns_and_limits() -> None:
    data = Sounds(train=6, val=4)
    assert len(data.load("train", limit=2)) == 2 and len(data.load("val", limit=99)) == 4
    assert len(data.load("val", limit=0)) == 0
    rows = data.load("train")
    assert rows[2:4]["audio"].shape == (2, sounds.SAMPLES)
    assert np.array_equal(rows[2:4]["audio"][1], rows[3]["audio"])
    assert rows["kind"][:6] == [sounds.sample(0, i).kind for i in range(6)]  # labels alone play nothing


def test_splits_are_of_different_seeds() -> None:
    assert len(set(SEEDS.values())) == 2
    first, other = (Sounds(train=1, val=1).load(split)[0]["audio"] for split in SEEDS)
    assert not np.array_equal(first, other)


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(DataError, match="has no split 'test'"):
        Sounds().load("test")
    with pytest.raises(ConfigError, match="train"):
        Sounds(train=0)
    assert (Sounds.world, Sounds().rate) == ("mini", 8_000)
