"""What the pruning stage trains: the architecture predictor (eq. 4, one linear layer) and the architecture codes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from aptp_bench.methods.aptp.transport import balanced, sinkhorn

Init = Literal["orthogonal", "predicted", "clustered", "random"]
POOL = 4096  # prompts among which predicted codes are looked for
CLUSTERING = 50  # iterations of Sinkhorn between points and centres
ROUNDS = 20  # of Lloyd's iteration at most


class Architect(nn.Module):
    """eta: z [B, width] -> e [B, D] logits; codes: [N, D] logits. Without a width there is no predictor (Uni-Arch)."""

    def __init__(self, width: int | None, gates: int, codes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.zeros(codes, gates))
        self.predictor = None if width is None else nn.Linear(width, gates)
        if self.predictor is not None:
            with torch.no_grad():
                self.predictor.weight.copy_(orthogonal(gates, self.predictor.in_features, generator))
                self.predictor.bias.zero_()

    @classmethod
    def of(cls, state: dict[str, Tensor]) -> Architect:
        """The one of these tensors, a predictor's among them, with nothing left to train."""
        (n, gates), width = state["codes"].shape, state["predictor.weight"].shape[1]
        architect = cls(width, gates, n, torch.Generator())
        architect.load_state_dict(state)
        return architect.requires_grad_(False)

    def forward(self, prompts: Tensor) -> Tensor:
        """z: [B, width] -> e: [B, D]."""
        assert self.predictor is not None  # Uni-Arch never asks
        return self.predictor(prompts)

    def begin_codes(self, how: Init, prompts: Tensor, generator: torch.Generator) -> None:
        """Set the codes at the end of the warm-up; prompts: z of the training set, [n, width].

        Without a predictor nothing can be predicted, so that "predicted" and "clustered" are "orthogonal".
        """
        n, gates = self.codes.shape
        with torch.no_grad():
            if how == "random":
                self.codes.copy_(torch.randn(n, gates, generator=generator))
            elif how in ("predicted", "clustered") and self.predictor is not None:
                some = torch.randperm(len(prompts), generator=generator)[:POOL]
                embeddings = self(prompts[some].to(self.codes.device))
                far = embeddings[spread(embeddings, n, generator)]
                self.codes.copy_(far if how == "predicted" else clustered(embeddings, far))
            else:
                self.codes.copy_(orthogonal(n, gates, generator))


def orthogonal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A random [rows, columns] matrix whose rows (or, if fewer, columns) are orthonormal."""
    tall = torch.randn(max(rows, columns), min(rows, columns), generator=generator)
    q, r = torch.linalg.qr(tall)
    q = q * torch.sign(torch.diagonal(r))  # uniform over such matrices, and the same whatever QR's sign convention
    return q if rows >= columns else q.T


def clustered(points: Tensor, centres: Tensor) -> Tensor:
    """Means [N, D] of N clusters of points [n, D] with n / N points each: Lloyd's iteration from `centres`.

    Points go to centres by balanced transport of their distances.
    """
    members = None
    for _ in range(ROUNDS):
        distance = torch.cdist(points.double(), centres.double()).T
        again = balanced(sinkhorn(-distance / distance.std().clamp(min=1e-12), iterations=CLUSTERING))
        if members is not None and torch.equal(again, members):
            break
        members = again
        means = [points[members == i].mean(0) if (members == i).any() else centre for i, centre in enumerate(centres)]
        centres = torch.stack(means)
    return centres


def spread(points: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Indices [n] of points far apart.

    A random first, then each drawn by its squared distance to the chosen (k-means++).
    """
    points = points.detach().cpu()
    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    while len(chosen) < n:
        distance = torch.cdist(points, points[chosen]).min(1).values.square()
        weights = distance if float(distance.sum()) > 0 else torch.ones_like(distance)
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
    return torch.tensor(chosen)
