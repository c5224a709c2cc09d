"""How well a network denoises held-out pairs, pair by pair: what pruning takes from a prompt is a difference of two such."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aptp_bench.core.noise import generator
from aptp_bench.core.progress import Progress
from aptp_bench.training.diffusion import Noising
from aptp_bench.training.latents import Pairs

BATCH = 128


@dataclass(frozen=True)
class Yardstick:
    """Pairs at `strata` fixed diffusion steps, each with its own fixed noise: the same for every network.

    Steps are the middles of equal strata of 0..T-1; noise is a function of (seed, pair, stratum).
    """

    pairs: Pairs
    noising: Noising
    strata: int = 8
    seed: int = 0

    @torch.inference_mode()
    def errors(self, unet: Any, device: torch.device | str, progress: Progress, label: str) -> Tensor:
        """Squared error of what the network predicts (eq. 1, unweighted; under v-prediction of v), mean over elements
        and steps: [n], float64, on the CPU."""
        unet = unet.to(device).eval()
        starts = progress.track(range(0, len(self.pairs), BATCH), label)
        return torch.cat([self._errors(unet, range(s, min(s + BATCH, len(self.pairs))), device) for s in starts])

    def _errors(self, unet: Any, rows: range, device: torch.device | str) -> Tensor:
        batch, noising = self.pairs.batch(rows, device), self.noising
        shape = tuple(batch.latents.shape[1:])
        total = torch.zeros(len(rows), dtype=torch.float64)
        for stratum in range(self.strata):
            drawn = [torch.randn(shape, generator=generator("damage", self.seed, row, stratum)) for row in rows]
            eps = torch.stack(drawn).to(device)
            t = torch.full((len(rows),), int((stratum + 0.5) / self.strata * noising.steps), device=device)
            x = noising.add_noise(batch.latents, eps, t)
            missed = unet(x, t, encoder_hidden_states=batch.text).sample - noising.target(batch.latents, eps, t)
            total += missed.double().square().flatten(1).mean(1).cpu()
        return total / self.strata
