"""Seconds per image, measured, beside the dense network's in the same session.

The protocol is that of profiling.speed: U-Net calls of every expert, whole images of the busiest one, and the router.
Absolute seconds are this machine's: compare ratios.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aptp_bench.core.intervals import percentile
from aptp_bench.metrics.macs import traffic
from aptp_bench.plugins import Metric
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from aptp_bench.contracts.evidence import Evidence
    from aptp_bench.profiling.setups import Setup
    from aptp_bench.profiling.speed import Protocol

CALLS_PER_IMAGE_TIMED = 5  # an image is dozens of U-Net calls: it is timed this many times less often


class Latency(Metric):
    """Seconds per image, traffic-weighted over the experts, the router's time included."""

    name, unit, better = "latency", "s", "lower"
    needs = frozenset({"mixture"})

    def __call__(self, evidence: Evidence) -> Measurement:
        """The median, with a bootstrap interval over timed runs; detail has the ratio to dense and the conditions."""
        from aptp_bench.profiling import speed
        from aptp_bench.profiling.alignment import alignment
        from aptp_bench.profiling.timing import conditions, summary

        system, share = evidence.system, traffic(evidence)
        setup, protocol = timing(evidence)
        ready = speed.Ready(setup, system.teacher, protocol.device)
        times = speed.measure(system.mixture, share, ready, protocol).times
        mixture, dense = times.per_image(share, setup.batch)
        facts: dict[str, Any] = {
            **conditions(system.device, system.dtype),
            "unet_calls": times.calls_per_image,
            "unet_call": {"dense": summary(times.dense_calls), "experts": [summary(each) for each in times.calls]},
            "image": {"expert": times.busiest, "timed": summary(times.image), "dense": summary(times.dense_image)},
            "router": summary(times.route),
            "batch": setup.batch,
            "steps": protocol.sampling.steps,
            "guidance": protocol.sampling.guidance,
            "dense_s": float(dense[0]),
            "ratio": float((mixture / dense)[0]),
            "ratio_interval": percentile(mixture / dense),
            "traffic": share.tolist(),
            "alignment": [alignment(system.mixture.experts[i], system.teacher.unet) for i in range(len(share))],
        }
        return self.measured(float(mixture[0]), n=len(times.image), interval=percentile(mixture), **facts)


def timing(evidence: Evidence) -> tuple[Setup, Protocol]:
    """How the system of a run is timed: in its own type, on its own prompts."""
    import torch

    from aptp_bench.profiling.setups import Setup
    from aptp_bench.profiling.speed import Protocol
    from aptp_bench.pruning.unets import tokens_of

    system = evidence.system
    often = system.latency
    tf32 = torch.backends.cuda.matmul.allow_tf32  # as it is set
    setup = Setup(dtype=str(system.dtype).removeprefix("torch."), batch=often.batch, tf32=tf32)
    protocol = Protocol(
        system.device,
        latent=system.model.latent_size,
        tokens=tokens_of(system.teacher),
        warmup=often.warmup,
        repeats=often.repeats,
        images=max(2, often.repeats // CALLS_PER_IMAGE_TIMED),
        sampling=system.sampling.model_copy(update={"exact": False}),  # as calls are timed
        routes=often.repeats,
        prompts=evidence.captions,
    )
    return setup, protocol
