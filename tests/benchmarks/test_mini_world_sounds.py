"""The builders' sounds and the ear that learns them, on settings small enough to train here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aptp_bench.audio.mel import MINI
from aptp_bench.backbones.ear import seen
from aptp_bench.benchmarks.mini_world import ear, sounds
from aptp_bench.data import sounds as played

SHORT = replace(ear.RECIPE, steps=24, batch=16, warmup=4, ema=0.8, save_every=24)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> sounds.Sounds:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sounds, "processors", lambda: 1)
        return sounds.gather("train", tmp_path_factory.mktemp("work"), 96)


def test_builders_and_datasets_share_no_seed() -> None:
    from aptp_bench.data.sounds_dataset import SEEDS

    assert not {seed for seed, _ in sounds.SPLITS.values()} & set(SEEDS.values())


def test_spectrograms_and_labels_are_those_of_the_splits_sounds(few: sounds.Sounds) -> None:
    assert len(few) == 96 and few.spectrograms.dtype == torch.uint8
    for i in (0, 1, 95):
        sound = played.sample(1_001, i)
        assert torch.equal(few.spectrograms[i], torch.from_numpy(MINI.spectrogram(played.render(sound))))
        names = {name: classes[few.labels[i, n]] for n, (name, classes) in enumerate(played.LABELS.items())}
        assert names == {name: getattr(sound, name) for name in played.LABELS}


def test_sounds_are_played_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sounds, "processors", lambda: 1)
    first = sounds.gather("val", tmp_path, 3)
    monkeypatch.setattr(sounds, "_play_all", lambda *_: pytest.fail("played again"))
    assert torch.equal(sounds.gather("val", tmp_path).spectrograms, first.spectrograms)


def test_roughened_is_moved_in_time_and_a_little_noisier(few: sounds.Sounds) -> None:
    heard = seen(few.spectrograms[:8])
    rough = ear.roughened(heard, torch.Generator().manual_seed(1))
    again = ear.roughened(heard, torch.Generator().manual_seed(1))
    assert torch.equal(rough, again) and not torch.equal(rough, heard)
    distances = [(rough - torch.roll(heard, by, 3)).std() for by in range(-ear.LATEST, ear.LATEST + 1)]
    assert min(distances) < 0.15


def test_the_ear_learns(few: sounds.Sounds, tmp_path: Path) -> None:
    net = ear.train(few, few, tmp_path, SHORT)
    found = ear.accuracy(net, seen(few.spectrograms), few.labels)
    assert set(found) == set(played.LABELS)
    assert found["kind"] > 0.5  # chance: 0.2
    again = ear.trained(tmp_path)
    heard = seen(few.spectrograms[:4])
    with torch.no_grad():
        assert torch.equal(again.pool(heard), net.pool(heard))
