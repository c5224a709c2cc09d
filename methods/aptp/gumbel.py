"""Relaxed gates (APTP, arXiv:2406.12042, eq. 9): logits -> numbers in (0, 1) that are nearly 0 or 1.

Beside them the fixed order in which the authors' code closes depth gates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from aptp_bench.errors import ConfigError
from aptp_bench.pruning.gates import GateSpace, guarded

Noise = Literal["gumbel", "logistic"]
EDGE = 1e-6  # nested shares keep this far from 0 and 1, where their logit is infinite


def gumbel(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Gumbel(0, 1) samples on the CPU."""
    return -torch.log(torch.empty(shape).exponential_(generator=generator))


def draw(kind: Noise, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Noise of eq. 9, on the CPU: one Gumbel sample as printed, or logistic noise, the difference of two."""
    first = gumbel(shape, generator)
    return first if kind == "gumbel" else first - gumbel(shape, generator)


def outside_in(n: int) -> tuple[int, ...]:
    """The authors' order of n depth gates, from the last to close.

    Pairs of the last and of the first blocks, going inwards.
    """

    def rank(i: int) -> tuple[int, bool, int]:
        near = min(i, n - 1 - i)
        return near // 2, i < n - 1 - i, near

    return tuple(sorted(range(n), key=rank))


def nested(logits: Tensor, order: tuple[int, ...]) -> Tensor:
    """Depth logits [..., M] -> logits [..., M] that fall along `order`: softmax, accumulated from the end, as a logit.

    The first unit of the order has share 1 and stays open; the last has only its own share and closes first.
    """
    at = torch.tensor(order, device=logits.device) % logits.shape[-1]  # the authors write orders from both ends
    shares = torch.softmax(logits[..., at], dim=-1).flip(-1).cumsum(-1).flip(-1).clamp(EDGE, 1.0 - EDGE)
    return torch.zeros_like(logits).index_copy(-1, at, torch.logit(shares))


@dataclass(frozen=True)
class Relaxation:
    """How logits [..., D] become gates: sigmoid((logits + offset + noise) / temperature).

    order: empty for independent depth gates, otherwise the depth units from the last to close to the first.
    """

    space: GateSpace
    temperature: float = 0.4
    offset: float = 0.0
    noise: Noise = "gumbel"
    order: tuple[int, ...] = ()
    guard: bool = False

    def __post_init__(self) -> None:
        if self.order and sorted(i % len(self.order) for i in self.order) != list(range(len(self.space.depths))):
            raise ConfigError(
                f"depth_order must name each of the {len(self.space.depths)} depth gates once; got {list(self.order)}"
            )

    def effective(self, logits: Tensor) -> Tensor:
        """Logits [..., D] -> the logits whose sigmoid decides: depth order and offset applied."""
        if self.order:
            width, depth = logits.split([self.space.width_size, len(self.space.depths)], dim=-1)
            logits = torch.cat([width, nested(depth, self.order)], dim=-1)
        return logits + self.offset

    def gates(self, logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Logits [..., D] -> gates in (0, 1); without a generator no noise is added, as at test time."""
        decided = self.effective(logits)
        if generator is not None:
            decided = decided + draw(self.noise, tuple(logits.shape), generator).to(logits.device)
        gates = torch.sigmoid(decided / self.temperature)
        return guarded(gates, self.space) if self.guard else gates


def straight_through(gates: Tensor) -> Tensor:
    """0/1 gates forward, the relaxed ones' gradient backward (Bengio et al. 2013)."""
    return (gates >= 0.5).to(gates.dtype) + gates - gates.detach()
