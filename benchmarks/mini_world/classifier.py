"""The mini Inception: a classifier of the scenes' labels."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from aptp_bench.backbones.inception import MiniInception
from aptp_bench.benchmarks.mini_world.loop import Parts, Recipe, averaged, fit
from aptp_bench.benchmarks.mini_world.scenes import LABELS, Scenes

RECIPE = Recipe(steps=2_400, batch=64, lr=2e-3, ema=0.995, seed=3)


def train(data: Scenes, held_out: Scenes, folder: Path, recipe: Recipe = RECIPE) -> MiniInception:
    """Train on labels, with noise and shifts so that it also reads pictures that are drawn less cleanly."""
    torch.manual_seed(recipe.seed)
    net = MiniInception(LABELS)

    def draw(generator: torch.Generator) -> Parts:
        index = torch.randint(len(data), (recipe.batch,), generator=generator)
        return {"pictures": roughened(data.pixels(index), generator), "labels": data.labels[index]}

    def loss(drawn: Parts) -> Parts:
        scores = net.classify(drawn["pictures"]).values()
        parts = [F.cross_entropy(s, drawn["labels"][:, i], label_smoothing=0.05) for i, s in enumerate(scores)]
        return {"loss": sum(parts, torch.zeros(()))}

    seen, labels = held_out.pixels(torch.arange(1_024)), held_out.labels[:1_024]
    return fit(net, draw, loss, recipe, folder, lambda step: accuracy(net, seen, labels))


def trained(folder: Path) -> MiniInception:
    """The classifier of the last checkpoint."""
    return averaged(MiniInception(LABELS), folder)


def roughened(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Shift by up to two pixels and add noise of a random strength up to 0.15."""
    dx, dy = torch.randint(-2, 3, (2,), generator=generator).tolist()
    strength = 0.15 * torch.rand((len(pictures), 1, 1, 1), generator=generator)
    return torch.roll(pictures, (dx, dy), (2, 3)) + strength * torch.randn(pictures.shape, generator=generator)


@torch.no_grad()
def accuracy(net: MiniInception, pictures: Tensor, labels: Tensor) -> dict[str, float]:
    """Share of right answers for each label; pictures: [n, 3, 32, 32] in [-1, 1], labels: [n, 9]."""
    scores = net.classify(pictures)
    return {
        name: round(float((s.argmax(1) == labels[:, i]).float().mean()), 4)
        for i, (name, s) in enumerate(scores.items())
    }
