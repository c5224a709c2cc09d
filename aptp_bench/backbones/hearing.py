"""The networks behind the metrics of sounds, as backbones: they read waves as the others read images."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from aptp_bench.audio.mel import AUDIO_DIFFUSION, MINI, Mel
from aptp_bench.backbones.networks import Backbone, BackboneConfig
from aptp_bench.models import weights

if TYPE_CHECKING:
    from torch import Tensor, nn


class SoundBackbone(Backbone):
    """A network that hears. Sounds come as waves, or as the Mel spectrograms that models of sounds make, `mel` saying how."""

    mel: ClassVar[Mel]

    def image_features(self, images: Tensor) -> dict[str, Tensor]:
        """images: spectrograms in grey, uint8 [n, bands, frames, 3] -> those of the waves behind them. Raises DataError."""
        import torch

        return self.sound_features(torch.from_numpy(self.mel.waveform(images[..., 0].numpy())), self.mel.rate)

    def sound_features(self, waves: Tensor, rate: int) -> dict[str, Tensor]:
        """waves: float32 [n, samples] in [-1, 1] at `rate` samples a second -> {"embedding": [n, d] or [n, k, d], …}."""
        raise NotImplementedError


VGGISH = "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth"


class MiniEar(SoundBackbone):
    """The mini world's classifier of sounds, in the place of VGGish."""

    name, role, world, embedded = "mini-ear", ("audio",), "mini", "ear"
    macs = {"convolution": 1.41e7}
    mel = MINI
    resize = f"resampled to {MINI.rate} Hz, the first {MINI.seconds:.3f} s, Mel spectrogram {MINI.bands}x{MINI.frames}"

    @cached_property
    def network(self) -> nn.Module:
        """The classifier in float32. Raises WeightsError."""
        from aptp_bench.backbones import ear

        return weights.freeze(ear.MiniEar.load(self.source)).to(self.device)

    def image_features(self, images: Tensor) -> dict[str, Tensor]:
        """images: uint8 [n, 64, 64, 3], read as they are -> {"embedding": [n, 128], "logits": [n, kinds]}."""
        return self._batches(images[..., 0], self._read)

    def sound_features(self, waves: Tensor, rate: int) -> dict[str, Tensor]:
        """waves: float32 [n, samples] -> {"embedding": [n, 128], "logits": [n, kinds]}. Raises DataError for what is no wave."""
        import torch

        from aptp_bench.audio.waves import fitted, resampled

        def read(part: Tensor) -> dict[str, Tensor]:
            clips = fitted(resampled(part.numpy(), rate, MINI.rate), MINI.samples)
            return self._read(torch.from_numpy(MINI.spectrogram(clips)))

        return self._batches(waves, read)

    def _read(self, spectrograms: Tensor) -> dict[str, Tensor]:
        from aptp_bench.backbones import ear

        found = self.network(ear.seen(spectrograms).to(self.device))
        return {"embedding": found["pool"], "logits": found["logits"]}


class VGGish(SoundBackbone):
    """VGGish (Hershey et al. 2017, arXiv:1609.09430), the network that FAD is defined with."""

    name, role, world = "vggish", ("audio",), "paper"
    macs = {"convolution": 5.18e9}
    mel = AUDIO_DIFFUSION

    class Config(BackboneConfig):
        """The defaults are those of FAD's authors, the last ReLU excepted."""

        loudness: bool = Field(True, description="bring every clip to a peak of 1 first, by 20 dB at most")
        activation: bool = Field(False, description="a ReLU after the embedding, as in the code of 2019")

    config: Config

    @classmethod
    def fix(cls) -> str | None:
        """The commands that fetch a port of the official file and save it as safetensors."""
        target = weights.home() / cls.name / "model.safetensors"
        load = f"torch.load('{VGGISH.rpartition('/')[2]}', weights_only=True)"
        script = f"import torch, safetensors.torch as s; s.save_file({load}, '{target}')"
        return f'mkdir -p {target.parent} && curl -LO {VGGISH} && python -c "{script}"'

    @property
    def resize(self) -> str:
        """The front end in words."""
        peak = "peak 1 (20 dB at most), " if self.config.loudness else ""
        last = ", ReLU" if self.config.activation else ""
        return f"{peak}resampled to 16000 Hz, log-Mel 96x64 each 0.96 s{last}"

    @cached_property
    def network(self) -> nn.Module:
        """The network in float32. Raises WeightsError."""
        import torch

        from aptp_bench.backbones import vggish

        with torch.device("meta"):
            empty = vggish.VGGish(self.config.activation)
        return vggish.VGGish.load(self.source, empty).to(self.device)

    def sound_features(self, waves: Tensor, rate: int) -> dict[str, Tensor]:
        """waves: float32 [n, samples] -> {"embedding": [n, k, 128]}, k an example each 0.96 s. Raises DataError for shorter ones."""
        import torch

        from aptp_bench.backbones import vggish

        def read(part: Tensor) -> dict[str, Tensor]:
            clips = vggish.loud(part.numpy()) if self.config.loudness else part.numpy()
            found = torch.from_numpy(vggish.examples(clips, rate)).to(self.device)
            return {"embedding": self.network(found.flatten(0, 1)).view(*found.shape[:2], -1)}

        return self._batches(waves, read)
