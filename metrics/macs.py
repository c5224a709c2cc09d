"""What one U-Net pass costs on paper: multiply-accumulates, in three conventions, and parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from aptp_bench.budget import CONVENTIONS
from aptp_bench.errors import CountError, MetricError
from aptp_bench.plugins import Metric
from aptp_bench.pruning import macs as counter
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

    from aptp_bench.evaluation.evaluate import Evidence

GIGA, MEGA = 1e9, 1e6


class MACs(Metric):
    """Multiply-accumulates of one U-Net pass, mean over the evaluation prompts' experts, in the budget's convention."""

    name, unit, better = "macs", "G", "lower"
    title = "MACs"
    needs = frozenset({"mixture"})
    counted = True

    def __call__(self, evidence: Evidence) -> Measurement:
        """The mean, counted, so without interval; detail has every expert and the dense network in all conventions."""
        share = traffic(evidence)
        dense = all_conventions(evidence.teacher.unet, evidence)
        experts = [all_conventions(evidence.mixture.experts[i], evidence) for i in range(len(share))]
        mean = {c: _mean(share, [expert[c] for expert in experts]) for c in CONVENTIONS}
        ratio = {c: _ratio(mean[c], dense[c]) for c in CONVENTIONS}
        facts: dict[str, Any] = {
            "convention": evidence.convention,
            "dense": dense,
            "experts": experts,
            "mean": mean,
            "ratio": ratio,
        }
        return self.measured(
            (mean[evidence.convention] or 0.0) / GIGA, n=len(evidence.assignment), traffic=share.tolist(), **facts
        )


class Parameters(Metric):
    """Parameters of the U-Net an image is made with, mean over the evaluation prompts' experts."""

    name, unit, better = "parameters", "M", "lower"
    needs = frozenset({"mixture"})
    counted = True

    def __call__(self, evidence: Evidence) -> Measurement:
        """The mean; detail has every expert's, the dense network's, and `stored`: all experts together."""
        share = traffic(evidence)
        experts = [counter.parameters(evidence.mixture.experts[i]) for i in range(len(share))]
        value = _mean(share, experts) or 0.0
        facts: dict[str, Any] = {
            "dense": counter.parameters(evidence.teacher.unet),
            "experts": experts,
            "stored": sum(experts),
        }
        return self.measured(value / MEGA, n=len(evidence.assignment), traffic=share.tolist(), **facts)


def traffic(evidence: Evidence) -> Tensor:
    """Share of the evaluation prompts that each expert serves: [experts], float64, sum 1. Raises MetricError."""
    assignment = torch.as_tensor(evidence.assignment)
    if len(assignment) == 0:
        raise MetricError(
            "no prompt was routed, so no expert's cost has a weight; raise the size, e.g. --set sizes.val=64"
        )
    return torch.bincount(assignment, minlength=len(evidence.mixture)).double() / len(assignment)


def all_conventions(unet: UNet2DConditionModel, evidence: Evidence) -> dict[str, int | None]:
    """MACs of one pass over one sample, by convention; None where another than the budget's has no rule for a layer.

    Raises MetricError if the budget's own convention cannot count the network.
    """
    inputs = counter.example_inputs(unet, evidence.model.latent_size, evidence.teacher.tokenizer.model_max_length)
    counts: dict[str, int | None] = {}
    for convention in CONVENTIONS:
        try:
            counts[convention] = counter.count(unet, inputs, convention).total
        except CountError as err:
            if convention == evidence.convention:
                raise MetricError(str(err)) from err
            counts[convention] = None
    return counts


def _ratio(part: float | None, whole: int | None) -> float | None:
    return None if part is None or not whole else part / whole


def _mean(share: Tensor, values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(share @ torch.tensor(known, dtype=torch.float64)) if len(known) == len(values) else None
