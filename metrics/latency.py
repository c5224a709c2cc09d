"""Seconds per image, measured, beside the dense network's in the same session; and how much of its time is saved.

The protocol is that of profiling.speed: U-Net calls of every expert, whole images of the busiest one, and the router.
Absolute seconds are this machine's: compare ratios. Both metrics read one timing, which is made once and kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aptp_bench.core.intervals import percentile
from aptp_bench.metrics.macs import traffic
from aptp_bench.plugins import Metric
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from torch import Tensor

    from aptp_bench.contracts.evidence import Evidence
    from aptp_bench.profiling.setups import Setup
    from aptp_bench.profiling.speed import Protocol, Times


class Latency(Metric):
    """Seconds per image, traffic-weighted over the experts, the router's time included."""

    name, unit, better = "latency", "s", "lower"
    timed = True
    needs = frozenset({"mixture"})

    def __call__(self, evidence: Evidence) -> Measurement:
        """The median, with a bootstrap interval over timed runs; detail has the ratio to dense and the conditions."""
        from aptp_bench.profiling.alignment import alignment
        from aptp_bench.profiling.timing import summary

        system, share = evidence.system, traffic(evidence)
        times = timed(evidence)
        mixture, dense = times.per_image(share, system.latency.batch)
        facts: dict[str, Any] = {
            **circumstances(evidence),
            "unet_calls": times.calls_per_image,
            "unet_call": {"dense": summary(times.dense_calls), "experts": [summary(each) for each in times.calls]},
            "image": {"expert": times.busiest, "timed": summary(times.image), "dense": summary(times.dense_image)},
            "router": summary(times.route),
            "dense_s": float(dense[0]),
            "ratio": float((mixture / dense)[0]),
            "ratio_interval": percentile(mixture / dense),
            "traffic": share.tolist(),
            "alignment": [alignment(system.mixture.experts[i], system.teacher.unet) for i in range(len(share))],
        }
        return self.measured(float(mixture[0]), n=len(times.image), interval=percentile(mixture), **facts)


class Speedup(Metric):
    """Share of the dense network's time for an image that is saved: (t0 - t) / t0, from the timing of latency."""

    name, unit, better = "speedup", "%", "higher"
    timed = True
    title = "Speed-up"
    needs = frozenset({"mixture"})
    paper = "Castells et al., LD-Pruner, CVPR Workshops 2024, pp. 821-830"

    def __call__(self, evidence: Evidence) -> Measurement:
        """From the medians, with a bootstrap interval over timed runs; below zero where the mixture is slower."""
        times = timed(evidence)
        mixture, dense = times.per_image(traffic(evidence), evidence.system.latency.batch)
        saved = 100 * (1 - mixture / dense)
        return self.measured(float(saved[0]), n=len(times.image), interval=percentile(saved), **circumstances(evidence))


def timed(evidence: Evidence) -> Times:
    """The system's times, made once: they are kept with the run's stages, and in memory where there are none.

    Images' digest stands for the mixture that made them; without images nothing is kept on disk.
    """
    from aptp_bench.core.source import source_digest
    from aptp_bench.profiling import speed

    system = evidence.system

    def measured() -> dict[str, Tensor]:
        setup, protocol = timing(evidence)
        ready = speed.Ready(setup, system.teacher, protocol.device)
        return speed.measure(system.mixture, traffic(evidence), ready, protocol).times.tensors()

    images = None if evidence.image_set is None else evidence.image_set.digest
    place = ("timing", images or "")
    if place not in evidence.read:
        key = {"images": images, "latency": system.latency.model_dump(), "source": source_digest(timing, speed.measure)}
        key |= circumstances(evidence)
        evidence.read[place] = measured() if images is None else evidence.kept("timing", key, measured)
    return speed.Times.of(evidence.read[place])


def circumstances(evidence: Evidence) -> dict[str, Any]:
    """What the times depend on beside the networks."""
    from aptp_bench.profiling.timing import conditions

    system = evidence.system
    setup, protocol = timing(evidence)
    return {
        **conditions(system.device, system.dtype),
        "batch": setup.batch,
        "steps": protocol.sampling.steps,
        "guidance": protocol.sampling.guidance,
    }


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
        images=often.images,
        sampling=system.sampling.model_copy(update={"exact": False}),  # as calls are timed
        routes=often.repeats,
        prompts=evidence.captions,
    )
    return setup, protocol
