"""What one U-Net pass costs on paper: multiply-accumulates, in three conventions, and parameters; counted at pruning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aptp_bench.budget import CONVENTIONS
from aptp_bench.errors import MetricError
from aptp_bench.plugins import Metric
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from torch import Tensor

    from aptp_bench.contracts.evidence import Evidence

GIGA, MEGA = 1e9, 1e6


class MACs(Metric):
    """Multiply-accumulates of one U-Net pass, mean over the evaluation prompts' experts, in the budget's convention."""

    name, unit, better = "macs", "G", "lower"
    title = "MACs"
    needs = frozenset({"mixture"})
    counted = True

    def __call__(self, evidence: Evidence) -> Measurement:
        """The mean, counted, so without interval; detail has every expert and the dense network in all conventions."""
        system, share = evidence.system, traffic(evidence)
        dense, experts = system.costs["dense"]["macs"], [cost["macs"] for cost in system.costs["experts"]]
        mean = {name: weighted(share, [expert[name] for expert in experts]) for name in CONVENTIONS}
        return self.measured(
            mean[system.convention] / GIGA,
            n=len(system.assignment),
            traffic=share.tolist(),
            convention=system.convention,
            dense=dense,
            experts=experts,
            mean=mean,
            ratio={name: mean[name] / dense[name] for name in CONVENTIONS},
        )


class Parameters(Metric):
    """Parameters of the U-Net an image is made with, mean over the evaluation prompts' experts."""

    name, unit, better = "parameters", "M", "lower"
    needs = frozenset({"mixture"})
    counted = True

    def __call__(self, evidence: Evidence) -> Measurement:
        """The mean; detail has every expert's, the dense network's, and `stored`: all experts together."""
        system, share = evidence.system, traffic(evidence)
        experts = [cost["parameters"] for cost in system.costs["experts"]]
        return self.measured(
            weighted(share, experts) / MEGA,
            n=len(system.assignment),
            traffic=share.tolist(),
            dense=system.costs["dense"]["parameters"],
            experts=experts,
            stored=sum(experts),
        )


def traffic(evidence: Evidence) -> Tensor:
    """Share of the evaluation prompts that each expert serves: [experts], float64, sum 1. Raises MetricError."""
    assignment = evidence.system.assignment
    if len(assignment) == 0:
        raise MetricError(
            "no prompt was routed, so no expert's cost has a weight; raise the size, e.g. --set sizes.val=64"
        )
    return assignment.bincount(minlength=len(evidence.system.costs["experts"])).double() / len(assignment)


def weighted(share: Tensor, costs: Sequence[int]) -> float:
    """The mean cost of a prompt. share: [experts], each one's part of the prompts."""
    return float(share @ share.new_tensor(costs))
