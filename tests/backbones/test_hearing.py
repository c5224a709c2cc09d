"""The backbones that hear: from waves to embeddings, whatever the batch, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from aptp_bench.audio.mel import MINI
from aptp_bench.audio.waves import resampled
from aptp_bench.backbones import ear, hearing, vggish
from aptp_bench.data.sounds import RATE, render, sample
from aptp_bench.errors import DataError, WeightsError

pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mini ear that was never trained."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("ear")
    ear.MiniEar({"kind": 5}, width=8).save(place)
    return place


def clips(n: int = 5) -> Tensor:
    return torch.from_numpy(np.stack([render(sample(9, i)) for i in range(n)]))


def test_the_mini_ear_hears_the_spectrogram_of_the_clip_in_any_batch(folder: Path) -> None:
    one, many = (hearing.MiniEar(weights=str(folder), batch=batch, device="cpu") for batch in (1, 3))
    found = one.sound_features(clips(), RATE)
    assert found["embedding"].shape == (5, 8) and found["logits"].shape == (5, 5)
    assert torch.allclose(found["embedding"], many.sound_features(clips(), RATE)["embedding"], atol=1e-6)
    picture = torch.from_numpy(MINI.spectrogram(clips()[2].numpy()))[None]
    with torch.inference_mode():
        assert torch.allclose(one.network(ear.seen(picture))["pool"], found["embedding"][2:3], atol=1e-6)


def test_the_mini_ear_hears_other_rates_and_lengths(folder: Path) -> None:
    network = hearing.MiniEar(weights=str(folder), device="cpu")
    faster = torch.from_numpy(resampled(clips(2).numpy(), RATE, 2 * RATE))
    found, expected = (network.sound_features(*each)["embedding"] for each in ((faster, 2 * RATE), (clips(2), RATE)))
    assert torch.allclose(found, expected, atol=0.1 * float(expected.abs().max()))
    assert network.sound_features(clips(2)[:, :9_000], RATE)["embedding"].shape == (2, 8)


def test_vggish_gives_an_embedding_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    small = vggish.VGGish(widths=(2, 2, 2, 2), hidden=4).eval()
    network = hearing.VGGish(device="cpu", batch=2)
    monkeypatch.setitem(network.__dict__, "network", small)  # a cached property
    found = network.sound_features(clips(3), RATE)["embedding"]
    assert found.shape == (3, 2, 128)
    louder = network.sound_features(clips(3) * 0.5, RATE)["embedding"]
    assert torch.allclose(found, louder, atol=1e-5)  # loudness is evened out
    as_it_is = hearing.VGGish(device="cpu", loudness=False)
    monkeypatch.setitem(as_it_is.__dict__, "network", small)
    half = as_it_is.sound_features(clips(3) * 0.5, RATE)["embedding"]
    assert not torch.allclose(as_it_is.sound_features(clips(3), RATE)["embedding"], half, atol=1e-5)
    assert "peak 1" in network.resize and "peak 1" not in as_it_is.resize


def test_vggishs_weights_are_named_with_the_commands_that_fetch_them() -> None:
    reason = hearing.VGGish.unavailable()
    assert reason is not None and hearing.VGGISH in reason and "weights_only=True" in reason
    with pytest.raises(WeightsError, match="no weights on this machine"):
        _ = hearing.VGGish().network


def test_the_mini_ear_hears_a_spectrogram_as_the_wave_behind_it(folder: Path) -> None:
    network = hearing.MiniEar(weights=str(folder), device="cpu")
    pictures = torch.from_numpy(MINI.spectrogram(clips(2).numpy()))[..., None].expand(-1, -1, -1, 3)
    assert torch.equal(
        network.image_features(pictures)["embedding"], network.sound_features(clips(2), RATE)["embedding"]
    )


def test_nothing_and_noise_that_is_no_number_are_refused(folder: Path) -> None:
    network = hearing.MiniEar(weights=str(folder), device="cpu")
    with pytest.raises(DataError, match="nothing to read"):
        network.sound_features(clips(1)[:0], RATE)
    with pytest.raises(DataError, match="not finite"):
        network.sound_features(torch.full((1, 16_383), float("inf")), RATE)
