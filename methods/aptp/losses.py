"""What APTP's objective adds to denoising and distillation (arXiv:2406.12042).

The contrastive term (eqs. 13, 14), the budget term (eq. 26) and the mean over experts (eq. 15).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from aptp_bench.methods.aptp.transport import cosine

LOG_EDGE = -1e-6  # log s of the diagonal rounds to 0, where log(1 - s) is infinite


def contrastive(
    prompts: Tensor, gates: Tensor, tau: float = 0.03, reduction: Literal["mean", "rows"] = "mean"
) -> Tensor:
    """Eq. 13 with the minus sign that its text needs.

    Binary cross-entropy of architecture towards prompt similarities, scalar.

    prompts: z [B, d], no gradient; gates: e' [B, D]. Never negative; least, the entropy of r, where s = r.
    """
    r = torch.softmax(cosine(prompts, prompts).detach() / tau, dim=1)
    log_s = torch.log_softmax(cosine(gates, gates) / tau, dim=1).clamp(max=LOG_EDGE)
    entropies = -(r * log_s + (1.0 - r) * torch.log(-torch.expm1(log_s)))  # expm1: 1 - s from log s
    return entropies.mean() * (len(gates) if reduction == "rows" else 1)


def resource(spent: Tensor, target: float | Tensor) -> Tensor:
    """R(x, y) = log(max / min), eq. 26, as |log x - log y|: symmetric, scale-free, zero at the target only."""
    return (spent.log() - torch.as_tensor(target, dtype=spent.dtype, device=spent.device).log()).abs()


def expert_weights(assignment: Tensor, experts: int) -> Tensor:
    """Weights [B] of eq. 15: mean over the samples of an expert, then over the experts that have any. They sum to 1."""
    counts = torch.bincount(assignment, minlength=experts)
    return 1.0 / (counts[assignment] * (counts > 0).sum())
