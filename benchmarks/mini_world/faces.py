"""The mini world's LDM-4: portraits without captions, by a VQ autoencoder and a U-Net that predicts the noise."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from diffusers import DDIMScheduler, VQModel
from torch import Tensor
from torch.nn import functional as F

from aptp_bench.benchmarks.mini_world.loop import Parts, Recipe, averaged, fit
from aptp_bench.benchmarks.mini_world.scenes import LABELS, Scenes
from aptp_bench.benchmarks.mini_world.unet import plain_attention, timesteps
from aptp_bench.benchmarks.mini_world.vae import EDGES, edges, half, psnr
from aptp_bench.data import scenes
from aptp_bench.models.unconditional import MINI_FACES_GEOMETRY
from aptp_bench.models.unconditional_pipeline import Unconditional
from aptp_bench.pruning.unets import UNet2DModel

AUTOENCODER = Recipe(steps=2_500, batch=64, lr=1e-3, cooldown=0.3, ema=0.99, seed=8)
UNET = Recipe(steps=4_000, batch=128, lr=1e-3, warmup=300, cooldown=0.3, ema=0.998, seed=9)


RECIPES = {"faces_vae": AUTOENCODER, "faces": UNET}
PARTS = tuple(RECIPES)


def train_part(part: str, data: Scenes, held_out: Scenes, work: Path) -> None:
    """Train one of PARTS, from its checkpoint under `work` on."""
    if part == "faces_vae":
        train_autoencoder(data, held_out, work / part)
    else:
        train_unet(data, trained(data, work / "faces_vae"), work / part)


def portraits(data: Scenes) -> Scenes:
    """The scenes of one face."""
    composition = data.labels[:, list(LABELS).index("composition")]
    at = (composition == scenes.COMPOSITIONS.index("portrait")).nonzero().flatten()
    return Scenes(data.images[at.to(data.images.device)], data.labels[at], [[""]] * len(at))


def train_autoencoder(data: Scenes, held_out: Scenes, folder: Path, recipe: Recipe = AUTOENCODER) -> VQModel:
    """Train on the device of the pictures; its scaling factor makes latents of unit deviation."""
    torch.manual_seed(recipe.seed)
    vae = VQModel(**MINI_FACES_GEOMETRY.vae).to(data.images.device)

    def loss(drawn: Parts) -> Parts:
        pictures = drawn["pictures"]
        with half(pictures.device):
            latents = vae.encode(pictures).latents
        again, commitment = vae.decode(latents.float(), return_dict=False)  # codes are found in full precision
        pixel = (again - pictures).abs().mean()
        return {"loss": pixel + EDGES * edges(again, pictures) + commitment.mean(), "l1": pixel}

    def watch(step: int) -> dict[str, float]:
        return {"psnr": round(psnr(vae, held_out.pixels(torch.arange(256)).to(vae.device)), 2)}

    return scaled(fit(vae, partial(_pictures, data, recipe.batch), loss, recipe, folder, watch), data)


def trained(data: Scenes, folder: Path) -> VQModel:
    """The autoencoder of the last checkpoint."""
    return scaled(averaged(VQModel(**MINI_FACES_GEOMETRY.vae), folder), data)


def train_unet(data: Scenes, vae: VQModel, folder: Path, recipe: Recipe = UNET) -> UNet2DModel:
    """Train on the latents of the pictures with the plain loss on the noise."""
    torch.manual_seed(recipe.seed)
    latents = encoded(vae.to(data.images.device), data)
    unet, device = MINI_FACES_GEOMETRY.build_unet().requires_grad_(True).to(latents.device), latents.device
    plain_attention(unet)
    alphas = scheduler().alphas_cumprod.to(device)

    def draw(generator: torch.Generator) -> Parts:
        index = torch.randint(len(latents), (recipe.batch,), generator=generator, device=device)
        noise = torch.randn(recipe.batch, *latents.shape[1:], generator=generator, device=device)
        return {"latents": latents[index], "noise": noise, "t": timesteps(recipe.batch, generator)}

    def loss(drawn: Parts) -> Parts:
        a = alphas[drawn["t"]][:, None, None, None]
        with half(device):
            guess = unet(a.sqrt() * drawn["latents"] + (1 - a).sqrt() * drawn["noise"], drawn["t"]).sample
        return {"loss": F.mse_loss(guess.float(), drawn["noise"])}

    return fit(unet, draw, loss, recipe, folder)


def scheduler() -> DDIMScheduler:
    """LDM-4's noise and sampler."""
    return DDIMScheduler(**MINI_FACES_GEOMETRY.scheduler)


def pipeline(data: Scenes, work: Path) -> Unconditional:
    """The networks of the last checkpoints under `work`."""
    unet = averaged(UNet2DModel(**MINI_FACES_GEOMETRY.unet), work / "faces")
    return Unconditional(unet, trained(data, work / "faces_vae"), scheduler())


@torch.no_grad()
def encoded(vae: VQModel, data: Scenes) -> Tensor:
    """Scaled latents of all pictures, [n, 3, 8, 8], on their device."""
    every = torch.arange(len(data), device=data.images.device).split(1_024)
    return torch.cat([vae.encode(data.pixels(i)).latents for i in every]) * vae.config.scaling_factor


@torch.no_grad()
def scaled(vae: VQModel, data: Scenes) -> VQModel:
    """The same network, whose scaling factor is one over the deviation of the latents of the first pictures."""
    first = data.pixels(torch.arange(min(2_048, len(data)), device=data.images.device)).to(vae.device)
    deviation = float(torch.cat([vae.encode(x).latents for x in first.split(256)]).std())
    vae.register_to_config(scaling_factor=round(1 / deviation, 5))
    return vae.eval()


def _pictures(data: Scenes, number: int, generator: torch.Generator) -> Parts:
    index = torch.randint(len(data), (number,), generator=generator, device=data.images.device)
    return {"pictures": data.pixels(index)}
