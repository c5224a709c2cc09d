"""The autoencoder: 32x32 pictures to 8x8x4 latents of unit variance in every channel, and back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from diffusers import AutoencoderKL, VQModel
from torch import Tensor, nn
from torch.nn import functional as F

from aptp_bench.benchmarks.mini_world.loop import Parts, Recipe, averaged, fit
from aptp_bench.benchmarks.mini_world.scenes import Scenes
from aptp_bench.models.stable_diffusion import MINI_GEOMETRY

RECIPE = Recipe(steps=5_069, batch=512, lr=2e-3, warmup=300, cooldown=0.3, ema=0.995)  # 2,595,328 images
# The latents are settled by then; the decoder alone goes on learning, on latents as rough as a denoiser makes them. 900,608 images.
DECODER = Recipe(steps=1_759, batch=512, lr=1e-3, cooldown=0.4, ema=0.995, seed=7)
ROUGHNESS = 0.1  # deviation of the noise on standardised latents
EDGES = 1.0  # weight of the error in neighbour differences: outlines are what makes a 32-pixel picture readable
KL = 1e-5


def network() -> AutoencoderKL:
    """An untrained stock AutoencoderKL, factor 4, 4 latent channels."""
    return AutoencoderKL(**MINI_GEOMETRY.vae)


def train(
    data: Scenes, held_out: Scenes, folder: Path, recipe: Recipe = RECIPE, until: int | None = None
) -> AutoencoderKL:
    """Train on the device of the pictures, then fold the scale of each latent channel into the 1x1 convolutions around the latents."""
    torch.manual_seed(recipe.seed)
    vae = network().to(data.images.device)

    def loss(drawn: Parts) -> Parts:
        pictures = drawn["pictures"]
        with half(pictures.device):
            latent = vae.encode(pictures).latent_dist
            again = vae.decode(latent.mean + latent.std * drawn["noise"]).sample.float()
        pixel, kl = (again - pictures).abs().mean(), latent.kl().mean()
        return {"loss": pixel + EDGES * edges(again, pictures) + KL * kl, "l1": pixel, "kl": kl}

    draw = partial(_drawn, data, recipe.batch, 1.0)
    return standardised(fit(vae, draw, loss, recipe, folder, _watched(vae, held_out), until), _first(data))


def train_decoder(
    vae: AutoencoderKL, data: Scenes, held_out: Scenes, folder: Path, recipe: Recipe = DECODER, until: int | None = None
) -> None:
    """Train the decoder of a standardised autoencoder further, its encoder frozen."""
    decoder = _Decoder(vae.to(data.images.device))

    def loss(drawn: Parts) -> Parts:
        pictures = drawn["pictures"]
        with half(pictures.device):
            with torch.no_grad():
                latents = vae.encode(pictures).latent_dist.mean
            again = decoder(latents + drawn["noise"]).float()
        pixel = (again - pictures).abs().mean()
        return {"loss": pixel + EDGES * edges(again, pictures), "l1": pixel}

    fit(decoder, partial(_drawn, data, recipe.batch, ROUGHNESS), loss, recipe, folder, _watched(vae, held_out), until)


def _drawn(data: Scenes, number: int, strength: float, generator: torch.Generator) -> Parts:
    """Pictures, and noise for their latents; below a strength of 1 each latent's own strength is anything up to it."""
    device = data.images.device
    index = torch.randint(len(data), (number,), generator=generator, device=device)
    noise = torch.randn(number, 4, 8, 8, generator=generator, device=device)
    if strength < 1:
        noise = noise * strength * torch.rand(number, 1, 1, 1, generator=generator, device=device)
    return {"pictures": data.pixels(index), "noise": noise}


def half(device: torch.device) -> torch.autocast:
    """Products in bfloat16 on a GPU. On a CPU the command sets them (__main__): one that lacks them is twenty times slower here."""
    on_gpu = device.type == "cuda"  # a graph keeps no casts of an earlier step
    return torch.autocast(device.type, torch.bfloat16, enabled=on_gpu, cache_enabled=False)


def _first(data: Scenes, number: int = 2_048) -> Tensor:
    return data.pixels(torch.arange(min(number, len(data)), device=data.images.device))


def _watched(vae: AutoencoderKL, held_out: Scenes) -> Callable[[int], dict[str, float]]:
    return lambda step: {"psnr": round(psnr(vae, _first(held_out, 256).to(vae.device)), 2)}


def trained(data: Scenes, folder: Path, decoder: Path | None = None) -> AutoencoderKL:
    """The autoencoder of the last checkpoint, its latents standardised, with the decoder of `decoder` if that was trained further."""
    vae = standardised(averaged(network(), folder), _first(data).cpu())
    if decoder is not None and (decoder / "state.safetensors").exists():
        averaged(_Decoder(vae), decoder)
    return vae


class _Decoder(nn.Module):
    """The half of an autoencoder that turns latents [n, 4, 8, 8] into pictures [n, 3, 32, 32]."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.post_quant_conv, self.decoder = vae.post_quant_conv, vae.decoder

    def forward(self, latents: Tensor) -> Tensor:
        return self.decoder(self.post_quant_conv(latents))


def edges(again: Tensor, pictures: Tensor) -> Tensor:
    """Mean absolute error of horizontal and vertical neighbour differences."""
    error = again - pictures
    return error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()


@torch.no_grad()
def psnr(vae: AutoencoderKL | VQModel, pictures: Tensor) -> float:
    """Reconstruction quality in dB; pictures: [n, 3, 32, 32] in [-1, 1]."""
    again = vae(pictures).sample.clamp(-1, 1)  # of the mean of the latents
    return float(-10 * torch.log10(F.mse_loss(again, pictures) / 4))


@torch.no_grad()
def standardised(vae: AutoencoderKL, pictures: Tensor) -> AutoencoderKL:
    """Rescale so that each latent channel has mean 0 and deviation 1; pictures come back exactly as before."""
    latents = torch.cat([vae.encode(chunk).latent_dist.mean for chunk in pictures.split(256)])
    mean, std = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    channels = len(mean)
    into, out = vae.quant_conv, vae.post_quant_conv
    out.bias += out.weight[:, :, 0, 0] @ mean
    out.weight *= std[None, :, None, None]
    into.weight[:channels] /= std[:, None, None, None]
    into.bias[:channels] = (into.bias[:channels] - mean) / std
    into.bias[channels:] -= 2 * std.log()
    return vae.eval()
