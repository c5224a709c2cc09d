"""VGGish's pictures against the published formulas, its network against the published sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from aptp_bench.backbones import vggish
from aptp_bench.backbones.vggish import VGGish, examples, filters, log_mel, loud
from aptp_bench.errors import DataError, WeightsError
from aptp_bench.models import weights

SMALL = {"widths": (2, 3, 4, 5), "hidden": 6}


def tone(hertz: float = 1_000, seconds: float = 3, rate: int = vggish.RATE) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def test_the_constants_are_the_published_ones() -> None:
    """vggish_params.py of github.com/tensorflow/models, research/audioset/vggish."""
    assert (vggish.RATE, vggish.BANDS, vggish.FRAMES, vggish.EMBEDDING) == (16_000, 64, 96, 128)
    assert (vggish.WINDOW / vggish.RATE, vggish.HOP / vggish.RATE) == (0.025, 0.010)
    assert (vggish.LOWEST, vggish.HIGHEST, vggish.OFFSET) == (125, 7_500, 0.01)
    assert vggish.FRAMES * vggish.HOP / vggish.RATE == 0.96


def test_the_filters_are_those_of_the_published_formula() -> None:
    """mel_features.py: triangles in Mel = 1127 ln(1 + f / 700), edges equally far apart, nothing of the constant part."""

    def to_mel(hertz: np.ndarray) -> np.ndarray:
        return 1127.0 * np.log(1 + hertz / 700.0)

    mels, edges = to_mel(np.linspace(0, 8_000, 257)), np.linspace(*to_mel(np.array([125.0, 7_500.0])), 66)
    expected = np.zeros((257, 64))
    for band in range(64):
        low, middle, high = edges[band : band + 3]
        expected[:, band] = np.minimum((mels - low) / (middle - low), (high - mels) / (high - middle)).clip(0)
    expected[0] = 0
    assert np.abs(filters() - expected).max() < 1e-9


def test_frames_are_windowed_by_a_periodic_hann_and_taken_without_padding() -> None:
    wave = np.random.RandomState(0).uniform(-1, 1, 400 + 3 * 160 + 159)
    window = [0.5 - 0.5 * np.cos(2 * np.pi * i / 400) for i in range(400)]
    expected = [
        np.log(np.abs(np.fft.fft(np.r_[wave[i * 160 :][:400] * window, np.zeros(112)])[:257]) @ filters() + 0.01)
        for i in range(4)
    ]
    found = log_mel(wave)
    assert found.shape == (4, 64) and found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-5


def test_three_seconds_give_three_examples_as_in_the_published_smoke_test() -> None:
    found = examples(tone(), vggish.RATE)
    assert found.shape == (3, 96, 64)
    nearest = filters()[32].argmax()  # bin 32 of 31.25 Hz: 1 kHz
    assert (np.abs(found.mean(axis=(0, 1)).argmax() - nearest) <= 1).all()
    quiet = examples(np.zeros(48_000), vggish.RATE)
    assert quiet == pytest.approx(np.log(0.01))


def test_other_rates_are_resampled_and_batches_kept() -> None:
    waves = np.stack([tone(rate=22_050), tone(440, rate=22_050)]).astype(np.float32)
    found = examples(waves, 22_050)
    assert found.shape == (2, 3, 96, 64)
    assert np.array_equal(found[1], examples(waves[1], 22_050))
    expected = examples(tone(), vggish.RATE)[1]
    loud = expected > 0  # where there is more than the resampler's own ripple
    assert loud.any() and np.abs(found[0][1] - expected)[loud].max() < 0.05


def test_examples_do_not_overlap_and_a_rest_is_left_out() -> None:
    wave = tone(seconds=2.5)
    found = examples(wave, vggish.RATE)
    assert len(found) == 2
    assert np.array_equal(found.reshape(-1, 64), log_mel(wave)[:192])


def test_short_and_broken_sounds_are_refused() -> None:
    assert examples(np.zeros(vggish.SHORTEST), vggish.RATE).shape[0] == 1
    with pytest.raises(DataError, match="no example"):
        examples(np.zeros(vggish.SHORTEST - 1), vggish.RATE)
    with pytest.raises(DataError, match="window of 400"):
        log_mel(np.zeros(399))
    with pytest.raises(DataError, match="not finite"):
        examples(np.full(20_000, np.nan), vggish.RATE)


def test_loudness_is_raised_by_20_decibels_at_most() -> None:
    wave = tone(seconds=0.1)
    assert loud(0.5 * wave).max() == pytest.approx(1)
    assert loud(0.001 * wave).max() == pytest.approx(0.01)
    assert not loud(np.zeros(9)).any()


def test_the_network_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = VGGish()
    assert sum(each.numel() for each in network.parameters()) == 72_141_184
    shapes = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    assert shapes["features.0.weight"] == (64, 1, 3, 3)
    assert shapes["embeddings.0.weight"] == (4_096, 512 * 6 * 4)
    assert [name for name in shapes if name.endswith("weight")] == [
        *(f"features.{i}.weight" for i in (0, 3, 6, 8, 11, 13)),
        *(f"embeddings.{i}.weight" for i in (0, 2, 4)),
    ]


def test_what_is_flattened_lies_in_tensorflows_order() -> None:
    network = VGGish(**SMALL)
    network.embeddings = torch.nn.Identity()
    maps = torch.arange(2 * 6 * 4.0).view(1, 6, 4, 2)  # frames, bands, channels, as TensorFlow has them
    network.features = torch.nn.Sequential(torch.nn.Flatten(0), torch.nn.Unflatten(0, (1, 6, 4, 2)), Channels())
    assert torch.equal(network(maps), maps.flatten(1))


class Channels(torch.nn.Module):
    """[n, frames, bands, channels] -> [n, channels, frames, bands], as torch's convolutions leave them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 3, 1, 2)


def test_the_activation_of_2019_cuts_at_zero() -> None:
    torch.manual_seed(0)
    plain = VGGish(**SMALL).eval()
    cut = VGGish(activation=True, **SMALL).eval()
    cut.load_state_dict(plain.state_dict())
    x = torch.randn(3, 96, 64)
    assert torch.equal(cut(x), plain(x).relu()) and bool((plain(x) < 0).any())


@pytest.fixture
def saved(tmp_path: Path) -> tuple[VGGish, Path]:
    torch.manual_seed(1)
    network = VGGish(**SMALL).eval()
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    return network, tmp_path


def test_saved_is_loaded(saved: tuple[VGGish, Path]) -> None:
    network, folder = saved
    x = torch.randn(2, 96, 64)
    for place in (folder, folder / "model.safetensors"):
        again = VGGish.load(place, VGGish(**SMALL))
        assert torch.equal(again(x), network(x))
        assert not again.training and not any(each.requires_grad for each in again.parameters())


def test_a_parameter_less_more_or_of_another_shape_is_refused(saved: tuple[VGGish, Path]) -> None:
    network, folder = saved
    state = dict(network.state_dict())
    wrong = {
        "less": {name: each for name, each in state.items() if name != "embeddings.4.bias"},
        "more": state | {"pproc.pca_matrix": torch.zeros(2, 2)},
        "shape": state | {"embeddings.4.bias": torch.zeros(127)},
    }
    for name, tensors in wrong.items():
        save_file(tensors, folder / f"{name}.safetensors")
        with pytest.raises(WeightsError, match=rf"{name}\.safetensors holds no VGGish"):
            VGGish.load(folder / f"{name}.safetensors", VGGish(**SMALL))
    with pytest.raises(WeightsError):
        VGGish.load(folder / "model.safetensors")  # the published sizes
    with pytest.raises(WeightsError):
        VGGish.load(folder / "none.safetensors")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(WeightsError):
        VGGish.load(tmp_path / "a.pth", VGGish(**SMALL))


@pytest.mark.skipif(
    not (weights.home() / "vggish" / "model.safetensors").exists(), reason="VGGish's weights are not here"
)
def test_the_published_smoke_test() -> None:
    """vggish_smoke_test.py: mean and deviation of the embeddings of three seconds of 1 kHz, within 10 %."""
    network = VGGish.load(weights.home() / "vggish")
    found = network(torch.from_numpy(examples(tone(), vggish.RATE)))
    assert [float(found.mean()), float(found.std(correction=0))] == pytest.approx([0.000657, 0.343], rel=0.1)
