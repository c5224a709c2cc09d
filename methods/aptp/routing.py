"""The map from a prompt's embedding to a code (APTP, arXiv:2406.12042, eqs. 4, 22).

One definition for training, splitting and serving.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from aptp_bench.methods.aptp.gumbel import Relaxation
from aptp_bench.methods.aptp.predictor import Architect
from aptp_bench.methods.aptp.transport import Similarity, Transport, nearest

ROWS = 4096  # prompts compared at once


@dataclass(frozen=True)
class Routing:
    """Predictor and codes, how logits become gates, and which similarity compares them."""

    architect: Architect
    relaxation: Relaxation
    similarity: Similarity

    def scores(self, prompts: Tensor) -> Tensor:
        """z [B, d] -> S [N, B] of eq. 22: no noise, no batch effect.

        Differentiable in eta, the codes are taken as they are.

        Float64: gates that are nearly all open have cosines that float32 cannot tell apart.
        """
        codes, embeddings = self.architect.codes.detach().double(), self.architect(prompts).double()
        return self.similarity.test(
            (codes, self.relaxation.gates(codes)), (embeddings, self.relaxation.gates(embeddings))
        )

    @torch.no_grad()
    def similarities(self, prompts: Tensor) -> Tensor:
        """z [n, d] -> S [N, n], on the CPU."""
        device = self.architect.codes.device
        return torch.cat([self.scores(rows.to(device)).cpu() for rows in prompts.split(ROWS)], dim=1)

    def routes(self, prompts: Tensor) -> Tensor:
        """z [n, d] -> code of each prompt, int64 [n], on the CPU."""
        if len(self.architect.codes) == 1:
            return torch.zeros(len(prompts), dtype=torch.long)
        return nearest(self.similarities(prompts))

    @torch.no_grad()
    def compared(self, prompts: Tensor, noise: torch.Generator | None = None) -> Tensor:
        """z [B, d] of one batch -> what transport sees of it in training, S [N, B], float64.

        noise: of eq. 9, in the gates of codes and prompts; None: without.
        """
        codes, gates = self.architect.codes.double(), self.relaxation.gates
        embeddings = self.architect(prompts.to(codes.device)).double()
        return self.similarity.training((codes, gates(codes, noise)), (embeddings, gates(embeddings, noise)))

    def transported(self, prompts: Tensor, transport: Transport) -> Tensor:
        """z [n, d] of one batch -> the code of each by transport (eqs. 5-8, 20), without gate noise; int64 [n], on the CPU."""
        return transport(self.compared(prompts)).cpu()
