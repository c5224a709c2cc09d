"""Seconds per image, measured, beside the dense network's in the same session.

Protocol: one U-Net call of every expert, alternating with the dense network's (warm-up, then repeats); the whole image
(text encoder, U-Net calls, decoder, 8-bit image) of the busiest expert, alternating with the dense network's; the
router. Other experts' images differ from the busiest one's by their U-Net calls only. Absolute seconds are this
machine's: compare ratios.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from aptp_bench.core.intervals import percentile
from aptp_bench.generation.generate import Sampler
from aptp_bench.metrics.macs import traffic
from aptp_bench.plugins import Metric
from aptp_bench.profiling import speed
from aptp_bench.profiling.alignment import alignment
from aptp_bench.profiling.speed import Times, count_calls
from aptp_bench.profiling.timing import alternately, conditions, pipeline_on, placed, summary
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from aptp_bench.evaluation.evaluate import Evidence

CALLS_PER_IMAGE_TIMED = 5  # an image is dozens of U-Net calls: it is timed this many times less often


class Latency(Metric):
    """Seconds per image, traffic-weighted over the experts, the router's time included."""

    name, unit, better = "latency", "s", "lower"
    needs = frozenset({"mixture", "captions"})

    def __call__(self, evidence: Evidence) -> Measurement:
        """The median, with a bootstrap interval over timed runs; detail has the ratio to dense and the conditions."""
        share, settings = traffic(evidence), evidence.latency
        times = measure(evidence, busiest=int(share.argmax()))
        mixture, dense = times.per_image(share, settings.batch)
        facts = conditions(evidence.device, evidence.dtype) | _shown(times)
        facts |= {"batch": settings.batch, "steps": evidence.sampling.steps, "guidance": evidence.sampling.guidance}
        facts |= {
            "dense_s": float(dense[0]),
            "ratio": float((mixture / dense)[0]),
            "ratio_interval": percentile(mixture / dense),
        }
        facts |= {"traffic": share.tolist(), "alignment": _alignments(evidence)}
        return self.measured(float(mixture[0]), n=len(times.image), interval=percentile(mixture), **facts)


def measure(evidence: Evidence, busiest: int) -> Times:
    """Time calls, images and the router. The mixture and the teacher stay as they are."""
    dense = placed(evidence.teacher.unet, evidence.device, evidence.dtype)
    calls, dense_calls = [], []
    for i in range(len(evidence.mixture)):
        timed = time_calls(placed(evidence.mixture.experts[i], evidence.device, evidence.dtype), dense, evidence)
        calls.append(timed["expert"])
        dense_calls.append(timed["dense"])
    timed_expert = placed(evidence.mixture.experts[busiest], evidence.device, evidence.dtype)
    images, calls_per_image = time_images(timed_expert, dense, evidence)
    return Times(
        calls=calls,
        dense_calls=torch.cat(dense_calls),
        image=images["expert"],
        dense_image=images["dense"],
        route=time_router(evidence),
        calls_per_image=calls_per_image,
        busiest=busiest,
    )


def time_calls(expert: nn.Module, dense: nn.Module, evidence: Evidence) -> dict[str, Tensor]:
    """Seconds of one U-Net call of the expert and of the dense network, alternating: [repeats] each."""
    inputs = call_inputs(dense, evidence)
    with torch.inference_mode():
        calls = {"expert": lambda: expert(**inputs), "dense": lambda: dense(**inputs)}
        return alternately(calls, evidence.device, evidence.latency.warmup, evidence.latency.repeats)


def time_images(expert: nn.Module, dense: nn.Module, evidence: Evidence) -> tuple[dict[str, Tensor], int]:
    """Seconds of a batch of whole images, text to pixels, expert and dense alternating, and its U-Net calls."""
    batch, pipeline = evidence.latency.batch, pipeline_on(evidence.teacher, evidence.device, evidence.dtype)
    sampler = Sampler(pipeline, evidence.sampling, 0, evidence.device)
    captions = [evidence.captions[i % len(evidence.captions)] for i in range(batch)]
    repeats = max(2, evidence.latency.repeats // CALLS_PER_IMAGE_TIMED)

    def make(unet: Any) -> Tensor:
        return sampler(unet, captions, range(batch))

    with torch.inference_mode():
        calls = count_calls(expert, lambda: make(expert))  # a warm-up as well
        images = {"expert": lambda: make(expert), "dense": lambda: make(dense)}
        return alternately(images, evidence.device, 1, repeats), calls


def time_router(evidence: Evidence) -> Tensor:
    """Seconds to route a batch of prompts: [repeats], each time other prompts."""
    captions, batch, at = evidence.captions, evidence.latency.batch, iter(range(1 << 30))

    def route() -> Tensor:
        start = next(at) * batch
        return evidence.mixture.route([captions[(start + i) % len(captions)] for i in range(batch)])

    return alternately({"route": route}, evidence.device, max(1, evidence.latency.warmup), evidence.latency.repeats)[
        "route"
    ]


def call_inputs(unet: Any, evidence: Evidence) -> dict[str, Tensor]:
    """Inputs of the call that guidance makes: twice the batch (once without guidance), the text at its full length."""
    samples = evidence.latency.batch * (2 if evidence.sampling.guidance > 1 else 1)
    tokens = evidence.teacher.tokenizer.model_max_length
    return speed.call_inputs(unet, evidence.model.latent_size, tokens, samples, evidence.device, evidence.dtype)


def _shown(times: Times) -> dict[str, Any]:
    return {
        "unet_calls": times.calls_per_image,
        "unet_call": {"dense": summary(times.dense_calls), "experts": [summary(each) for each in times.calls]},
        "image": {"expert": times.busiest, "timed": summary(times.image), "dense": summary(times.dense_image)},
        "router": summary(times.route),
    }


def _alignments(evidence: Evidence) -> list[dict[str, float | int | None]]:
    dense: UNet2DConditionModel = evidence.teacher.unet
    return [alignment(evidence.mixture.experts[i], dense) for i in range(len(evidence.mixture))]
