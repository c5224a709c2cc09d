"""Diffusion without prompts: LDM-4 on CelebA-HQ, AudioDiffusion on Mel spectrograms, and their twins in the mini world.

LD-Pruner (CVPR Workshops 2024) prunes these beside Stable Diffusion.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from aptp_bench.audio.mel import AUDIO_DIFFUSION, MINI
from aptp_bench.models import weights as sources
from aptp_bench.models.family import RANDOM, Family

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, VQModel

    from aptp_bench.models.unconditional_pipeline import Unconditional
    from aptp_bench.pruning.unets import UNet2DModel

FILES = ("model_index.json", "*/*.json", "unet/*.safetensors", "vae/*.safetensors", "vqvae/*.safetensors")


@dataclass(frozen=True)
class Geometry:
    """Keyword arguments of diffusers' own classes; quantised: the autoencoder is a VQModel."""

    unet: dict[str, Any]
    vae: dict[str, Any]
    quantised: bool
    scheduler: dict[str, Any] = field(default_factory=dict)

    def build_unet(self) -> UNet2DModel:
        """The U-Net, on torch's current default device."""
        from aptp_bench.pruning.unets import UNet2DModel

        return sources.freeze(UNet2DModel(**self.unet))

    def build_vae(self) -> AutoencoderKL | VQModel:
        """The autoencoder, on torch's current default device."""
        from diffusers import AutoencoderKL, VQModel

        return sources.freeze(VQModel(**self.vae) if self.quantised else AutoencoderKL(**self.vae))

    def build(self, seed: int = 0) -> Unconditional:
        """A whole pipeline with random weights, decided by `seed`; torch's generators are left as they were."""
        import torch
        from diffusers import DDIMScheduler

        from aptp_bench.models.unconditional_pipeline import Unconditional

        device = torch.get_default_device()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            return Unconditional(self.build_unet(), self.build_vae(), DDIMScheduler(**self.scheduler))


LDM_CELEBAHQ_GEOMETRY = Geometry(
    unet={
        "sample_size": 64,
        "block_out_channels": (224, 448, 672, 896),
        "layers_per_block": 2,
        "attention_head_dim": 32,
        "down_block_types": ("DownBlock2D", *["AttnDownBlock2D"] * 3),
        "up_block_types": (*["AttnUpBlock2D"] * 3, "UpBlock2D"),
    },
    vae={
        "block_out_channels": (128, 256, 512),
        "layers_per_block": 2,
        "latent_channels": 3,
        "num_vq_embeddings": 8192,
        "sample_size": 256,
        "scaling_factor": 1.0,
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
    },
    quantised=True,
    scheduler={"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear", "clip_sample": False},
)

AUDIO_DIFFUSION_GEOMETRY = Geometry(
    unet={
        "sample_size": 32,
        "in_channels": 1,
        "out_channels": 1,
        "block_out_channels": (128, 128, 256, 256, 512, 512),
        "layers_per_block": 2,
        "down_block_types": (*["DownBlock2D"] * 4, "AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 4),
    },
    vae={
        "in_channels": 1,
        "out_channels": 1,
        "block_out_channels": (128, 256, 512, 512),
        "layers_per_block": 2,
        "latent_channels": 1,
        "sample_size": 256,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    },
    quantised=False,
)


MINI_FACES_GEOMETRY = Geometry(
    unet={
        **LDM_CELEBAHQ_GEOMETRY.unet,
        "sample_size": 8,
        "block_out_channels": (32, 64, 96, 128),
        "attention_head_dim": 16,
        "norm_num_groups": 16,
    },
    vae={
        **LDM_CELEBAHQ_GEOMETRY.vae,
        "block_out_channels": (24, 48, 96),
        "layers_per_block": 1,
        "num_vq_embeddings": 1024,
        "norm_num_groups": 8,
        "sample_size": 32,
    },
    quantised=True,
    scheduler=LDM_CELEBAHQ_GEOMETRY.scheduler,
)


MINI_SOUNDS_GEOMETRY = Geometry(
    unet={**AUDIO_DIFFUSION_GEOMETRY.unet, "block_out_channels": (16, 16, 32, 32, 64, 64), "norm_num_groups": 8},
    vae={
        "in_channels": 1,
        "out_channels": 1,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "latent_channels": 1,
        "norm_num_groups": 8,
        "sample_size": 64,
        "scaling_factor": 1.0,
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
    },
    quantised=False,
    # AudioDiffusion's predicts the noise; so small a network, trained so briefly, then errs in how loud a clip is on the whole
    scheduler={"clip_sample": False, "prediction_type": "v_prediction"},
)


class UnconditionalModel(Family):
    """An unconditional model of one geometry; `hub_ids` are tried in their order, in the hub's cache first."""

    geometry: ClassVar[Geometry]
    files = FILES
    tokens = 1

    def load(self, weights: str | None = None) -> Unconditional:
        """A pipeline in float32, eval mode, frozen. weights: None, a folder, a hub id, or "random".

        Raises WeightsError if there are none, if a file is corrupt, or if its U-Net has another geometry.
        """
        from aptp_bench.models.unconditional_pipeline import read

        if weights == RANDOM:
            return self.geometry.build()
        folder = self.source(weights)
        return self.checked(read(folder), folder)


class MiniFaces(UnconditionalModel):
    """The mini world's LDM-4: its topology at 32 pixels, trained on the portraits of the scenes."""

    name, world, task, resolution, latent_size = "mini-faces", "mini", "image", 32, 8
    geometry = MINI_FACES_GEOMETRY
    embedded, licence = "faces", "apache-2.0"


class MiniSounds(UnconditionalModel):
    """The mini world's AudioDiffusion: its topology on 64x64 Mel spectrograms of two seconds, trained on played sounds."""

    name, world, task, resolution, latent_size = "mini-sounds", "mini", "audio", 64, 32
    geometry, mel = MINI_SOUNDS_GEOMETRY, MINI
    embedded, licence = "sounds", "apache-2.0"


class LDMCelebAHQ(UnconditionalModel):
    """LDM-4 on CelebA-HQ at 256 pixels (Rombach et al. 2022): faces from 64x64x3 latents of a VQ autoencoder."""

    name, world, task, resolution, latent_size = "ldm-celebahq", "paper", "image", 256, 64
    geometry = LDM_CELEBAHQ_GEOMETRY
    hub_ids = ("CompVis/ldm-celebahq-256",)
    licence = "apache-2.0"


class AudioDiffusion(UnconditionalModel):
    """AudioDiffusion's latent model: Mel spectrograms of 256x256 (22,050 Hz, five seconds) from 32x32x1 latents."""

    name, world, task, resolution, latent_size = "audio-diffusion-256", "paper", "audio", 256, 32
    geometry, mel = AUDIO_DIFFUSION_GEOMETRY, AUDIO_DIFFUSION
    hub_ids = ("teticio/latent-audio-diffusion-256",)
