"""The preference model: the judge's towers tuned on pairs, as PickScore was tuned from CLIP (Kirstain et al. 2023, arXiv:2305.01569).

Nobody was asked which picture they prefer, so a rule answers: of two pictures for a prompt, the one that shows more of what the prompt
asks for; between equals, the one drawn more cleanly.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel, CLIPTokenizer

from aptp_bench.benchmarks.mini_world.loop import Parts, Recipe, fit
from aptp_bench.benchmarks.mini_world.scenes import Scenes
from aptp_bench.benchmarks.mini_world.towers import phrased, tokenised

RECIPE = Recipe(steps=600, batch=64, lr=3e-4, warmup=50, ema=0.98, save_every=200, seed=6)
# What a wrong subject, setting, colour, count, composition, partner, partner's colour, word and anything else cost.
WEIGHTS = torch.tensor([4.0, 2.0, 2.0, 1.0, 0.0, 2.0, 1.0, 2.0, 1.0])
DAMAGE = 6.0  # what the strongest damage costs


def train(clip: CLIPModel, data: Scenes, held_out: Scenes, tokenizer: CLIPTokenizer, folder: Path) -> CLIPModel:
    """Tune `clip` in place on pairs of pictures; the loss is eq. 2 of the paper, KL between preferred and predicted choice."""
    clip.logit_scale.data.clamp_(max=3.0)  # PickScore-like scores: about 20 times the cosine

    def choices(source: Scenes, number: int, generator: torch.Generator) -> Parts:
        captions, pictures, worth = pairs(source, number, generator)
        return {"pictures": pictures, "better": (worth[1] > worth[0]).long(), **tokenised(tokenizer, captions)}

    def loss(drawn: Parts) -> Parts:
        return {"loss": F.cross_entropy(scored(clip, drawn), drawn["better"])}

    def watch(step: int) -> dict[str, float]:
        seen = choices(held_out, 512, torch.Generator().manual_seed(9))
        return {"agreement": round(float((scored(clip, seen).argmax(1) == seen["better"]).float().mean()), 4)}

    return fit(clip, lambda generator: choices(data, RECIPE.batch, generator), loss, RECIPE, folder, watch)


def scored(clip: CLIPModel, drawn: Parts) -> Tensor:
    """exp(logit_scale) times cosine of n captions with their two pictures [2, n, 3, 32, 32]: [n, 2]."""
    pictures = drawn["pictures"]
    tokens = {name: drawn[name] for name in ("input_ids", "attention_mask")}
    out = clip(pixel_values=pictures.flatten(0, 1), **tokens)
    images = out.image_embeds.unflatten(0, pictures.shape[:2])
    return clip.logit_scale.exp() * (images * out.text_embeds).sum(-1).T


def pairs(data: Scenes, number: int, generator: torch.Generator) -> tuple[list[str], Tensor, Tensor]:
    """Captions, two pictures for each [2, n, 3, 32, 32], and what each picture is worth [2, n]."""
    index = torch.randint(len(data), (number,), generator=generator)
    other = torch.randint(len(data), (2, number), generator=generator)
    shown = torch.where(torch.rand(2, number, generator=generator) < 0.7, index, other)
    damage = torch.rand(2, number, generator=generator) * (torch.rand(2, number, generator=generator) < 0.8)
    pictures = torch.stack([damaged(data.pixels(i), d, generator) for i, d in zip(shown, damage, strict=True)])
    wrong = (data.labels[shown] != data.labels[index]).float() @ WEIGHTS
    return phrased(data, index, generator), pictures, -wrong - DAMAGE * damage


def damaged(pictures: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """What weak generators do: outlines wobble, detail blurs, noise is left. strength [n] in [0, 1]; 0 changes nothing."""
    n, s = len(pictures), strength[:, None, None, None]
    shift = F.interpolate(torch.randn(n, 2, 6, 6, generator=generator), size=32, mode="bicubic", align_corners=True)
    base = F.affine_grid(torch.eye(2, 3).expand(n, 2, 3), [n, 3, 32, 32], align_corners=False)
    warped = F.grid_sample(
        pictures, base + 0.15 * s * shift.permute(0, 2, 3, 1), padding_mode="border", align_corners=False
    )
    blurred = F.avg_pool2d(F.pad(warped, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    noise = torch.randn(pictures.shape, generator=generator)
    return (warped + 0.7 * s * (blurred - warped) + 0.1 * s * noise).clamp(-1, 1)
