"""The dense denoiser: a v-prediction U-Net with SD 2.1's topology on 8x8x4 latents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextModel, CLIPTokenizer

from aptp_bench.backbones.inception import MiniInception
from aptp_bench.benchmarks.mini_world.classifier import accuracy
from aptp_bench.benchmarks.mini_world.loop import Parts, Recipe, fit
from aptp_bench.benchmarks.mini_world.scenes import Scenes
from aptp_bench.benchmarks.mini_world.towers import tokenised
from aptp_bench.benchmarks.mini_world.vae import half
from aptp_bench.models.stable_diffusion import MINI_GEOMETRY, SCHEDULER

RECIPE = Recipe(steps=6_731, batch=1_024, lr=1.2e-3, warmup=500, cooldown=0.3, ema=0.9985, seed=4)  # 6,892,544 images
UNCONDITIONAL = 0.1  # share of the prompts that are emptied in training, for classifier-free guidance
GUIDANCE = 2.0


def network() -> UNet2DConditionModel:
    """Untrained. The text also reaches the time embedding, pooled by attention: on its own, cross-attention learns late."""
    return UNet2DConditionModel(**MINI_GEOMETRY.unet)


def scheduler() -> PNDMScheduler:
    """SD 2.1's noise and sampler."""
    return PNDMScheduler(**SCHEDULER)


@dataclass(frozen=True)
class Eyes:
    """What turns latents to pictures and tells what is on them: used to watch whether captions are followed."""

    vae: AutoencoderKL
    classifier: MiniInception
    held_out: Scenes
    text: Tensor  # [n, LENGTH, 128] of held-out captions
    empty: Tensor  # [1, LENGTH, 128]

    def __call__(self, unet: UNet2DConditionModel) -> dict[str, float]:
        """Accuracy of every label on pictures made from the first captions."""
        latents = sample(unet, self.text.to(unet.device), self.empty.to(unet.device)).cpu()
        pictures = self.vae.decode(latents).sample.clamp(-1, 1)
        return accuracy(self.classifier, pictures, self.held_out.labels[: len(pictures)])


@torch.no_grad()
def encode(
    data: Scenes, vae: AutoencoderKL, text: CLIPTextModel, tokenizer: CLIPTokenizer, file: Path
) -> dict[str, Tensor]:
    """Latents [n, 4, 8, 8], text embeddings [n, LENGTH, 128] and the empty one, float16; computed once and kept in `file`.

    The networks are on one device.
    """
    if not file.exists():
        latents, embedded = [], []

        def embed(captions: list[str]) -> Tensor:
            read = {name: each.to(vae.device) for name, each in tokenised(tokenizer, captions).items()}
            return text(**read).last_hidden_state.half().cpu()

        for index in torch.arange(len(data)).split(1_024):
            pictures = data.pixels(index.to(data.images.device)).to(vae.device)
            latents.append(vae.encode(pictures).latent_dist.mean.half().cpu())
            embedded.append(embed([data.captions[i][0] for i in index.tolist()]))
        empty = embed([""])
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({"latents": torch.cat(latents).contiguous(), "text": torch.cat(embedded), "empty": empty}, file)
    return load_file(file)


def train(
    encoded: dict[str, Tensor], eyes: Eyes | None, folder: Path, recipe: Recipe = RECIPE, until: int | None = None
) -> UNet2DConditionModel:
    """Train on (latent, caption) pairs with the plain v-prediction loss, on the device of `encoded`.

    until: the step to stop before.
    """
    torch.manual_seed(recipe.seed)
    device = encoded["latents"].device
    unet: UNet2DConditionModel = network().to(device)
    plain_attention(unet)
    alphas = scheduler().alphas_cumprod.to(device)

    def draw(generator: torch.Generator) -> Parts:
        index = torch.randint(len(encoded["latents"]), (recipe.batch,), generator=generator, device=device)
        latents, text = encoded["latents"][index].float(), encoded["text"][index].float()
        dropped = torch.rand(recipe.batch, generator=generator, device=device) < UNCONDITIONAL
        return {
            "latents": latents,
            "text": torch.where(dropped[:, None, None], encoded["empty"].float(), text),
            "noise": torch.randn(latents.shape, generator=generator, device=device),
            "t": timesteps(recipe.batch, generator),
        }

    def loss(drawn: Parts) -> Parts:
        latents, noise, t = drawn["latents"], drawn["noise"], drawn["t"]
        a = alphas[t][:, None, None, None]
        with half(device):
            guess = unet(a.sqrt() * latents + (1 - a).sqrt() * noise, t, drawn["text"]).sample
        return {"loss": F.mse_loss(guess.float(), a.sqrt() * noise - (1 - a).sqrt() * latents)}

    return fit(unet, draw, loss, recipe, folder, None if eyes is None else lambda step: eyes(unet), until)


def plain_attention(unet: nn.Module) -> None:
    """On a CPU attention by plain products, in place: the fused one takes 40 % of a step there."""
    for module in unet.modules():
        if isinstance(module, Attention) and module.to_q.weight.device.type == "cpu":
            module.set_processor(AttnProcessor())


def timesteps(number: int, generator: torch.Generator) -> Tensor:
    """Timesteps [number], one from each of as many equal strata of 0..999: less noise in the loss than independent ones."""
    place = generator.device
    strata = torch.randperm(number, generator=generator, device=place) + torch.rand(
        number, generator=generator, device=place
    )
    return (strata / number * 1000).long().clamp(max=999)


@torch.no_grad()
def sample(unet: UNet2DConditionModel, text: Tensor, empty: Tensor, steps: int = 20, seed: int = 0) -> Tensor:
    """Latents [n, 4, 8, 8] by DDIM with classifier-free guidance."""
    sampler = DDIMScheduler.from_config(scheduler().config, clip_sample=False)  # latents are not pixels
    sampler.set_timesteps(steps)
    both = torch.cat([empty.expand_as(text), text]).float()
    latents = torch.randn(len(text), 4, 8, 8, generator=torch.Generator().manual_seed(seed)).to(text.device)
    for t in sampler.timesteps:
        free, bound = unet(torch.cat([latents, latents]), t, both).sample.chunk(2)
        latents = sampler.step(free + GUIDANCE * (bound - free), t, latents).prev_sample
    return latents
