"""Peak memory of one U-Net call: its parameters, and the most activation bytes alive at once.

How activations are counted depends on the device (see profiling/memory.py); detail says which way it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from aptp_bench.metrics.latency import call_inputs
from aptp_bench.plugins import Metric
from aptp_bench.profiling.memory import peak_allocated, peak_live, storages
from aptp_bench.profiling.timing import conditions, placed
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from aptp_bench.evaluation.evaluate import Evidence

MIB = 1 << 20


class PeakMemory(Metric):
    """Most memory that one U-Net call of any expert needs, parameters included."""

    name, unit, better = "peak_memory", "MiB", "lower"
    needs = frozenset({"mixture"})
    counted = True

    def __call__(self, evidence: Evidence) -> Measurement:
        """The largest over the experts; detail has each one's, the dense network's, and all experts' at once."""
        dense = call_memory(evidence.teacher.unet, evidence)
        experts = [call_memory(evidence.mixture.experts[i], evidence) for i in range(len(evidence.mixture))]
        peaks = [each["parameters"] + each["activations"] for each in experts]
        held = sum(each["parameters"] for each in experts) + max(each["activations"] for each in experts)
        facts = conditions(evidence.device, evidence.dtype) | {
            "dense_bytes": dense,
            "experts_bytes": experts,
            "all_held_bytes": held,
        }
        facts |= {"ratio": max(peaks) / (dense["parameters"] + dense["activations"]), "samples": _samples(evidence)}
        counted = "allocator" if evidence.device.type == "cuda" else "live tensors"
        return self.measured(max(peaks) / MIB, n=len(experts), counted=counted, **facts)


def call_memory(unet: nn.Module, evidence: Evidence) -> dict[str, int]:
    """Bytes of one call under guidance: {"parameters": …, "activations": peak beyond them, inputs included}."""
    network = placed(unet, evidence.device, evidence.dtype)

    def call() -> None:
        network(**call_inputs(unet, evidence))

    with torch.no_grad():  # not inference mode, which hides operations from the count
        peak = peak_allocated(call, evidence.device) if evidence.device.type == "cuda" else peak_live(call, network)
    return {"parameters": sum(storages(network).values()), "activations": peak}


def _samples(evidence: Evidence) -> int:
    return len(call_inputs(evidence.teacher.unet, evidence)["sample"])
