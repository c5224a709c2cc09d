"""VGGish: the network behind the Fréchet audio distance, and the log-Mel pictures that it reads.

Paper: Hershey et al., "CNN Architectures for Large-Scale Audio Classification", ICASSP 2017, arXiv:1609.09430. The constants are
those of the published vggish_params.py, the arithmetic that of mel_features.py and vggish_slim.py beside it
(github.com/tensorflow/models, research/audioset). PCA and quantisation, which were made for YouTube-8M, are left out.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from aptp_bench.audio.waves import Wave, checked, resampled
from aptp_bench.errors import DataError, WeightsError

RATE = 16_000  # samples a second
WINDOW, HOP = 400, 160  # samples: 25 and 10 ms
POINTS = 512  # of the Fourier transform, the power of two above the window
BANDS, LOWEST, HIGHEST = 64, 125.0, 7_500.0  # Mel bands on HTK's scale, and Hz
OFFSET = 0.01  # added before the logarithm
FRAMES = 96  # of an example: 0.96 s, without overlap
SHORTEST = (FRAMES - 1) * HOP + WINDOW  # samples that give one example
EMBEDDING = 128
WIDTHS = (64, 128, 256, 512)
QUIETEST = 0.1  # peak below which `loud` no longer makes a clip louder: 20 dB


def loud(wave: Wave) -> Wave:
    """[..., samples] with a highest sample of 1, but at most 20 dB louder, as in the code of FAD's authors (fad_utils.py)."""
    return wave / np.maximum(QUIETEST, wave.max(axis=-1, keepdims=True))


def log_mel(wave: Wave) -> NDArray[np.float32]:
    """Log-Mel magnitudes of a wave at 16 kHz: [..., samples] -> [..., frames, 64]; what fills no window at the end is left out.

    Raises DataError for samples that are not finite and for fewer than one window.
    """
    if checked(wave).shape[-1] < WINDOW:
        raise DataError(f"{wave.shape[-1]} samples are less than VGGish's window of {WINDOW}; give a longer sound")
    frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW, axis=-1)[..., ::HOP, :]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi / WINDOW * np.arange(WINDOW))  # periodic
    size = np.abs(np.fft.rfft(frames * hann, POINTS))
    return np.log(size @ filters() + OFFSET).astype(np.float32)


def examples(wave: Wave, rate: int) -> NDArray[np.float32]:
    """What the network reads of sounds at `rate` samples a second: [..., samples] -> [..., k, 96, 64], k an example each 0.96 s.

    As in vggish_input.py. The code of FAD's authors takes the first 0.96 s of every whole second instead. Raises DataError for a
    sound that is shorter than one example.
    """
    wave = resampled(checked(wave), rate, RATE)
    if wave.shape[-1] < SHORTEST:
        raise DataError(
            f"a sound of {wave.shape[-1] / RATE:.3f} s has no example of {SHORTEST / RATE:.3f} s; give a longer one"
        )
    found = log_mel(wave)
    count = found.shape[-2] // FRAMES
    return found[..., : count * FRAMES, :].reshape(*found.shape[:-2], count, FRAMES, BANDS)


@cache
def filters() -> NDArray[np.float64]:
    """Triangles on HTK's Mel scale that reach 1, not scaled by their width: [257, 64]."""
    from transformers.audio_utils import mel_filter_bank

    found: NDArray[np.float64] = mel_filter_bank(
        1 + POINTS // 2, BANDS, LOWEST, HIGHEST, RATE, norm=None, mel_scale="htk", triangularize_in_mel_space=True
    )
    return found


class VGGish(nn.Module):
    """Examples [n, 96, 64] -> embeddings [n, 128]. Names of parameters are those of torchvggish's file.

    activation: a ReLU after the last layer. Google's code had it until 2020, so the figures of Kilgour et al. 2019 have it; it has
    been left out since, and so it is here and in the usual packages. widths, hidden: other sizes than the published, for tests.
    """

    def __init__(self, activation: bool = False, widths: tuple[int, ...] = WIDTHS, hidden: int = 4_096) -> None:
        super().__init__()
        first, second, third, fourth = widths
        self.features = nn.Sequential(
            *_conv(1, first), _pool(), *_conv(first, second), _pool(), *_conv(second, third), *_conv(third, third),
            _pool(), *_conv(third, fourth), *_conv(fourth, fourth), _pool(),
        )  # fmt: skip
        flat = fourth * (FRAMES // 16) * (BANDS // 16)
        last = nn.ReLU() if activation else nn.Identity()
        self.embeddings = nn.Sequential(
            nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, EMBEDDING), last
        )

    def forward(self, examples: Tensor) -> Tensor:
        """The embeddings. What is flattened lies in TensorFlow's order: frames, bands, channels."""
        found = self.features(examples[:, None])
        return self.embeddings(found.permute(0, 2, 3, 1).flatten(1))

    @classmethod
    def load(cls, path: Path, network: VGGish | None = None) -> VGGish:
        """The network of a safetensors file, or of a folder with model.safetensors: every parameter, and no other.

        network: to be filled, of other sizes; None: the published. Raises WeightsError.
        """
        file = path / "model.safetensors" if path.is_dir() else path
        if network is None:
            with torch.device("meta"):
                network = cls()
        try:
            network.load_state_dict(load_file(file), assign=True)
        except Exception as err:  # safetensors and torch each have their own errors; all mean the same here
            line = " ".join(str(err).split())[:200]
            raise WeightsError(f"{file} holds no VGGish network ({line}); convert the official file again") from err
        return network.float().eval().requires_grad_(False)


def _conv(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()


def _pool() -> nn.Module:
    return nn.MaxPool2d(2, 2)
