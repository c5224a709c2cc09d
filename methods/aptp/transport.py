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
Rounding = Literal["argmax", "balanced"]


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


@dataclass(frozen=True)
class Transport:
    """From similarities to the code of each prompt: eqs. 5-8, 20.

    rounding: argmax of every column (eq. 20), or "balanced", to equal loads (see `balanced`);
    relative: similarities are first divided by their deviation, since of codes that are alike eps sees no difference.
    """

    eps: float = 0.05
    iterations: int = 3
    rounding: Rounding = "argmax"
    relative: bool = False

    def __call__(self, similarity: Tensor) -> Tensor:
        """S [N, B] -> int64 [B], without gradient."""
        similarity = similarity.detach()
        if self.relative:
            similarity = similarity / similarity.std().clamp(min=torch.finfo(similarity.dtype).tiny)
        plan = sinkhorn(similarity, self.eps, self.iterations)
        return plan.argmax(0) if self.rounding == "argmax" else balanced(plan)


def balanced(plan: Tensor) -> Tensor:
    """A plan Q [N, B] -> the code of each prompt, int64 [B]: B / N prompts a code, as eq. 6 demands of the plan.

    Where that is no whole number, the codes with most mass get one more. The largest entries of Q come first, and a
    code that has its number takes no more. An argmax keeps no such count: of a plan that is nearly uniform, the code
    whose similarities vary most takes half.
    """
    codes, prompts = plan.shape
    room = torch.full((codes,), prompts // codes)
    room[plan.sum(1).argsort(descending=True, stable=True)[: prompts % codes].cpu()] += 1
    free, chosen = room.tolist(), [-1] * prompts
    for entry in plan.flatten().argsort(descending=True, stable=True).tolist():
        code, prompt = divmod(entry, prompts)
        if free[code] and chosen[prompt] < 0:
            chosen[prompt] = code
            free[code] -= 1
    return torch.tensor(chosen, device=plan.device)


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
