"""The mini ear: a classifier of the sounds' labels."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from aptp_bench.backbones.ear import MiniEar, seen
from aptp_bench.benchmarks.mini_world.loop import Parts, Recipe, averaged, fit
from aptp_bench.benchmarks.mini_world.sounds import LABELS, Sounds

RECIPE = Recipe(steps=1_200, batch=64, lr=3e-3, warmup=50, ema=0.99, save_every=200, seed=5)  # three minutes on a CPU
LATEST = 3  # frames that a sound is moved by, at most


def train(data: Sounds, held_out: Sounds, folder: Path, recipe: Recipe = RECIPE, until: int | None = None) -> MiniEar:
    """Train on labels, with noise and delays so that it also hears sounds that are made less cleanly. until: see fit."""
    torch.manual_seed(recipe.seed)
    net = MiniEar(LABELS)

    def draw(generator: torch.Generator) -> Parts:
        index = torch.randint(len(data), (recipe.batch,), generator=generator)
        return {"heard": roughened(seen(data.spectrograms[index]), generator), "labels": data.labels[index]}

    def loss(drawn: Parts) -> Parts:
        scores = net.classify(drawn["heard"]).values()
        parts = [F.cross_entropy(s, drawn["labels"][:, i], label_smoothing=0.05) for i, s in enumerate(scores)]
        return {"loss": sum(parts, torch.zeros(()))}

    heard, labels = seen(held_out.spectrograms[:1_024]), held_out.labels[:1_024]
    return fit(net, draw, loss, recipe, folder, lambda step: accuracy(net, heard, labels), until)


def trained(folder: Path) -> MiniEar:
    """The classifier of the last checkpoint."""
    return averaged(MiniEar(LABELS), folder)


def roughened(heard: Tensor, generator: torch.Generator) -> Tensor:
    """Move by up to LATEST frames and add noise of a random strength up to 0.15. heard: [n, 1, 64, 64]."""
    by = int(torch.randint(-LATEST, LATEST + 1, (1,), generator=generator))
    strength = 0.15 * torch.rand((len(heard), 1, 1, 1), generator=generator)
    return torch.roll(heard, by, 3) + strength * torch.randn(heard.shape, generator=generator)


@torch.no_grad()
def accuracy(net: MiniEar, heard: Tensor, labels: Tensor) -> dict[str, float]:
    """Share of right answers for each label; heard: [n, 1, 64, 64] in [-1, 1], labels: [n, 7]."""
    scores = net.classify(heard)
    return {
        name: round(float((s.argmax(1) == labels[:, i]).float().mean()), 4)
        for i, (name, s) in enumerate(scores.items())
    }
