"""Peak memory of one U-Net call: its parameters, and the most activation bytes alive at once.

How activations are counted depends on the device (see profiling/memory.py); detail says which way it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aptp_bench.metrics.latency import timing
from aptp_bench.plugins import Metric
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from aptp_bench.contracts.evidence import Evidence
    from aptp_bench.models.call_plan import CallPlan

MIB = 1 << 20


class PeakMemory(Metric):
    """Most memory that one U-Net call of any expert needs, parameters included."""

    name, unit, better = "peak_memory", "MiB", "lower"
    needs = frozenset({"mixture"})
    counted = True

    def __call__(self, evidence: Evidence) -> Measurement:
        """The largest over the experts; detail has each one's, the dense network's, and all experts' at once."""
        from aptp_bench.profiling.timing import conditions

        system = evidence.system
        dense = call_memory(system.teacher.unet, evidence)
        plan = system.mixture.plan
        experts = [call_memory(system.mixture.experts[i], evidence, plan) for i in range(len(system.mixture))]
        peaks = [each["parameters"] + each["activations"] for each in experts]
        setup, protocol = timing(evidence)
        facts: dict[str, Any] = {
            **conditions(system.device, system.dtype),
            "dense_bytes": dense,
            "experts_bytes": experts,
            "all_held_bytes": sum(e["parameters"] for e in experts) + max(e["activations"] for e in experts),
            "ratio": max(peaks) / (dense["parameters"] + dense["activations"]),
            "samples": protocol.samples(setup),
            "counted": "allocator" if system.device.type == "cuda" else "live tensors",
        }
        return self.measured(max(peaks) / MIB, n=len(experts), **facts)


def call_memory(unet: Any, evidence: Evidence, plan: CallPlan | None = None) -> dict[str, int]:
    """Bytes of a call under guidance: {"parameters": …, "activations": peak beyond them, inputs included}.

    plan: of the mixture; where calls reuse features, those that are kept between them are counted too.
    """
    import torch

    from aptp_bench.models.call_plan import PLAIN
    from aptp_bench.profiling.memory import peak_allocated, peak_live, storages
    from aptp_bench.profiling.timing import placed

    device = evidence.system.device
    network: Any = placed(unet, device, evidence.system.dtype)
    kinds = (plan or PLAIN).kinds
    setup, protocol = timing(evidence)

    def call() -> None:
        with kinds.followed(network):
            for _ in kinds.turns:
                network(**protocol.inputs(unet, setup))

    with torch.no_grad():  # not inference mode, which hides operations from the count
        peak = peak_allocated(call, device) if device.type == "cuda" else peak_live(call, network)
    return {"parameters": sum(storages(network).values()), "activations": peak}
