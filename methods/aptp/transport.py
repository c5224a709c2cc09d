"""Which code a prompt trains and which serves it: similarity, Sinkhorn's plan and the nearest code.

Paper: APTP, arXiv:2406.12042, eqs. 5-8, 20-22; S[i, j] is the similarity of code i and prompt j throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from aptp_bench.pruning.gates import GateSpace

Kind = Literal["cosine_gates", "cosine_logits", "inner"]


def sinkhorn(similarity: Tensor, eps: float = 0.05, iterations: int = 3) -> Tensor:
    """Q* of eq. 7 for S: [N, B], in the log domain since S / eps overflows exp.

    Columns sum to 1/B exactly, rows to 1/N in the limit.
    """
    codes, prompts = similarity.shape
    plan = similarity.double() / eps
    plan = plan - plan.logsumexp((0, 1))
    for _ in range(iterations):
        plan = plan - plan.logsumexp(1, keepdim=True) - math.log(codes)
        plan = plan - plan.logsumexp(0, keepdim=True) - math.log(prompts)
    return plan.exp()


def assign(similarity: Tensor, eps: float = 0.05, iterations: int = 3) -> Tensor:
    """The code of each prompt by transport, eq. 20: S [N, B] -> int64 [B], without gradient."""
    return sinkhorn(similarity.detach(), eps, iterations).argmax(0)


def nearest(similarity: Tensor) -> Tensor:
    """The code of each prompt by itself, eq. 22: S [N, B] -> int64 [B]."""
    return similarity.detach().argmax(0)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosines of the rows of a: [n, d] and of b: [m, d] -> [n, m]."""
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T


@dataclass(frozen=True)
class Similarity:
    """What "close" means for architectures.

    scale: [D] 1/sqrt(width of the gate's layer); owner: int64 [D] position of the depth gate a width gate sits behind,
    else D.
    """

    kind: Kind
    scale: Tensor
    owner: Tensor

    @classmethod
    def of(cls, space: GateSpace, kind: Kind = "cosine_gates") -> Similarity:
        """Read off a gate space."""
        scale, owner = torch.ones(space.size), torch.full((space.size,), space.size)
        for layer in space.widths:
            scale[layer.span] = layer.size**-0.5
            if layer.depth is not None:
                owner[layer.span] = space.depths[layer.depth].start
        return cls(kind, scale, owner)

    def signature(self, gates: Tensor) -> Tensor:
        """Gates [n, D] -> what their cosine is taken of: width gates behind a closed depth gate count for nothing."""
        alive = torch.cat([gates, gates.new_ones((*gates.shape[:-1], 1))], dim=-1)[..., self.owner.to(gates.device)]
        return gates * alive * self.scale.to(gates)

    def training(self, codes: tuple[Tensor, Tensor], prompts: tuple[Tensor, Tensor]) -> Tensor:
        """S [N, B] from (logits, relaxed gates) of the codes and of the prompts."""
        if self.kind == "inner":
            return codes[0] @ prompts[0].T
        return self.test(codes, prompts)

    def test(self, codes: tuple[Tensor, Tensor], prompts: tuple[Tensor, Tensor]) -> Tensor:
        """S [N, B] of eq. 22, from logits and gates without noise; a cosine always."""
        if self.kind == "cosine_gates":
            return cosine(self.signature(codes[1]), self.signature(prompts[1]))
        return cosine(codes[0], prompts[0])
