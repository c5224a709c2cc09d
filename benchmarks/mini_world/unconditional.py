"""The mini world's models without prompts: faces as LDM-4's and sounds as AudioDiffusion's.

Of each an autoencoder, by vector quantisation or of a normal distribution, and a U-Net on its latents.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from diffusers import AutoencoderKL, DDIMScheduler, VQModel
from torch import Tensor
from torch.nn import functional as F

from aptp_bench.benchmarks.mini_world.loop import Parts, Recipe, averaged, fit
from aptp_bench.benchmarks.mini_world.unet import plain_attention, timesteps
from aptp_bench.benchmarks.mini_world.vae import EDGES, KL, edges, half, psnr
from aptp_bench.models.unconditional import MINI_FACES_GEOMETRY, MINI_SOUNDS_GEOMETRY, Geometry
from aptp_bench.models.unconditional_pipeline import Unconditional
from aptp_bench.pruning.unets import UNet2DModel


@dataclass(frozen=True)
class Model:
    """What is trained: the geometry, and how its autoencoder and its U-Net learn."""

    geometry: Geometry
    autoencoder: Recipe
    unet: Recipe


MODELS = {
    "faces": Model(
        MINI_FACES_GEOMETRY,
        Recipe(steps=1_500, batch=32, lr=1e-3, warmup=100, cooldown=0.3, ema=0.99, save_every=100, seed=8),
        Recipe(steps=3_000, batch=96, lr=1e-3, warmup=300, cooldown=0.3, ema=0.998, save_every=200, seed=9),
    ),
    "sounds": Model(
        MINI_SOUNDS_GEOMETRY,
        Recipe(steps=1_000, batch=16, lr=2e-3, warmup=100, cooldown=0.3, ema=0.99, save_every=100, seed=10),
        Recipe(steps=2_500, batch=64, lr=1.5e-3, warmup=300, cooldown=0.3, ema=0.998, save_every=200, seed=11),
    ),
}
RECIPES = {name: {f"{name}_vae": each.autoencoder, name: each.unet} for name, each in MODELS.items()}
PARTS = tuple(part for parts in RECIPES.values() for part in parts)


class Pictures(Protocol):
    """Pictures that lie on one device."""

    @property
    def device(self) -> torch.device:
        """Where they lie."""

    def __len__(self) -> int: ...

    def pixels(self, index: Tensor) -> Tensor:
        """Some of them: float [n, channels, h, w] in [-1, 1]."""


def train_part(part: str, data: Pictures, held_out: Pictures, work: Path) -> None:
    """Train one of PARTS, from its checkpoint under `work` on."""
    model = MODELS[part.removesuffix("_vae")]
    if part.endswith("_vae"):
        train_autoencoder(model, data, held_out, work / part)
    else:
        train_unet(model, data, autoencoder(model, data, work / f"{part}_vae"), work / part)


def train_autoencoder(
    model: Model, data: Pictures, held_out: Pictures, folder: Path, recipe: Recipe | None = None
) -> AutoencoderKL | VQModel:
    """Train on the device of the pictures; its scaling factor makes latents of unit deviation. recipe: the model's if None."""
    recipe = recipe or model.autoencoder
    torch.manual_seed(recipe.seed)
    vae = model.geometry.build_vae().requires_grad_(True).to(data.device)
    if isinstance(vae, VQModel):
        _place_codes(vae, data)

    def loss(drawn: Parts) -> Parts:
        pictures = drawn["pictures"]
        again, price = _quantised(vae, pictures) if model.geometry.quantised else _varied(vae, **drawn)
        pixel = (again - pictures).abs().mean()
        return {"loss": pixel + EDGES * edges(again, pictures) + price, "l1": pixel}

    def watch(step: int) -> dict[str, float]:
        return {"psnr": round(psnr(vae, _first(held_out, 256).to(vae.device)), 2)} | _codes(vae, held_out)

    return scaled(fit(vae, partial(_drawn, model.geometry, data, recipe.batch), loss, recipe, folder, watch), data)


@torch.no_grad()
def _place_codes(vae: VQModel, data: Pictures) -> None:
    """Put every code where a latent is. All start beside zero else, a few win every latent, and the rest are never learnt."""
    latents = vae.encode(_first(data, 256).to(vae.device)).latents.permute(0, 2, 3, 1).flatten(0, 2)
    codes = vae.quantize.embedding.weight
    codes.copy_(latents[torch.randperm(len(latents), device=latents.device)[: len(codes)]])


def _quantised(vae: VQModel, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """The pictures again, and the price of latents far from their codes."""
    with half(pictures.device):
        latents = vae.encode(pictures).latents
    again, commitment = vae.decode(latents.float(), return_dict=False)  # codes are found in full precision
    return again, commitment.mean()


def _varied(vae: AutoencoderKL, pictures: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The pictures again, and the price of latents far from a normal distribution."""
    with half(pictures.device):
        latents = vae.encode(pictures).latent_dist
        again = vae.decode(latents.mean + latents.std * noise).sample.float()
    return again, KL * latents.kl().mean()


def _codes(vae: AutoencoderKL | VQModel, held_out: Pictures) -> dict[str, float]:
    """How many codes are in use, where there are codes."""
    if isinstance(vae, AutoencoderKL):
        return {}
    found = vae.quantize(vae.encode(_first(held_out, 256).to(vae.device)).latents)[2][2]
    return {"codes": len(found.unique())}


def autoencoder(model: Model, data: Pictures, folder: Path) -> AutoencoderKL | VQModel:
    """That of the last checkpoint."""
    return scaled(averaged(model.geometry.build_vae(), folder), data)


def train_unet(
    model: Model, data: Pictures, vae: AutoencoderKL | VQModel, folder: Path, recipe: Recipe | None = None
) -> UNet2DModel:
    """Train on the latents of the pictures with the plain loss on what the scheduler wants predicted. recipe: the model's if None."""
    recipe = recipe or model.unet
    torch.manual_seed(recipe.seed)
    latents = encoded(vae.to(data.device), data)
    unet, device = model.geometry.build_unet().requires_grad_(True).to(latents.device), latents.device
    plain_attention(unet)
    scheduler = DDIMScheduler(**model.geometry.scheduler)
    alphas, of_noise = scheduler.alphas_cumprod.to(device), scheduler.config.prediction_type == "epsilon"

    def draw(generator: torch.Generator) -> Parts:
        index = torch.randint(len(latents), (recipe.batch,), generator=generator, device=device)
        noise = torch.randn(recipe.batch, *latents.shape[1:], generator=generator, device=device)
        return {"latents": latents[index], "noise": noise, "t": timesteps(recipe.batch, generator)}

    def loss(drawn: Parts) -> Parts:
        a, clean, noise = alphas[drawn["t"]][:, None, None, None], drawn["latents"], drawn["noise"]
        with half(device):
            guess = unet(a.sqrt() * clean + (1 - a).sqrt() * noise, drawn["t"]).sample
        return {"loss": F.mse_loss(guess.float(), noise if of_noise else a.sqrt() * noise - (1 - a).sqrt() * clean)}

    return fit(unet, draw, loss, recipe, folder)


def pipeline(name: str, data: Pictures, work: Path) -> Unconditional:
    """The networks of the last checkpoints under `work`. name: one of MODELS."""
    model = MODELS[name]
    unet = averaged(model.geometry.build_unet(), work / name)
    vae = autoencoder(model, data, work / f"{name}_vae")
    return Unconditional(unet, vae, DDIMScheduler(**model.geometry.scheduler))


@torch.no_grad()
def encoded(vae: AutoencoderKL | VQModel, data: Pictures) -> Tensor:
    """Scaled latents of all pictures, [n, c, h, w], on their device."""
    every = torch.arange(len(data), device=data.device).split(256)
    return torch.cat([_latents(vae, data.pixels(index)) for index in every]) * vae.config.scaling_factor


@torch.no_grad()
def scaled(vae: AutoencoderKL | VQModel, data: Pictures) -> AutoencoderKL | VQModel:
    """The same network, whose scaling factor is one over the deviation of the latents of the first pictures."""
    first = _first(data, 2_048).to(vae.device)
    deviation = float(torch.cat([_latents(vae, x) for x in first.split(256)]).std())
    vae.register_to_config(scaling_factor=round(1 / deviation, 5))
    return vae.eval()


def _latents(vae: AutoencoderKL | VQModel, pictures: Tensor) -> Tensor:
    found = vae.encode(pictures)
    return found.latents if isinstance(vae, VQModel) else found.latent_dist.mean


def _first(data: Pictures, number: int) -> Tensor:
    return data.pixels(torch.arange(min(number, len(data)), device=data.device))


def _drawn(geometry: Geometry, data: Pictures, number: int, generator: torch.Generator) -> Parts:
    """Pictures, and noise for their latents."""
    index = torch.randint(len(data), (number,), generator=generator, device=data.device)
    edge = geometry.unet["sample_size"]
    shape = (number, geometry.vae["latent_channels"], edge, edge)
    return {"pictures": data.pixels(index), "noise": torch.randn(shape, generator=generator, device=data.device)}
