"""Seconds of one U-Net call and of a whole image, of a mixture beside its dense teacher, in one way of running.

Runs alternate, so that a machine that slows down slows both. The call is the one that guidance makes (twice the
batch); the image is the papers' protocol: text encoder, 25 PNDM steps (26 calls), guidance 7.5, decoder. Of a mixture
every expert's call is timed and the busiest one's image: others' images differ by their calls only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor, nn

from aptp_bench.config import SamplingConfig
from aptp_bench.core.intervals import RESAMPLES, percentile
from aptp_bench.generation.generate import Sampler
from aptp_bench.profiling.memory import peak_allocated
from aptp_bench.profiling.records import Ratio, Spread
from aptp_bench.profiling.setups import Setup, attention_kernels
from aptp_bench.profiling.timing import alternately, pipeline_on, placed, resampled_medians, summary
from aptp_bench.pruning.macs import example_inputs

if TYPE_CHECKING:
    from aptp_bench.models.mixture import Mixture

TIMESTEP = 500
NOTHING = torch.zeros(1, dtype=torch.float64)
PROMPT = "a photograph of a lighthouse on a cliff above the sea"


@dataclass(frozen=True)
class Protocol:
    """How often, on which sizes. images: timed images, 0 for none; latent: height = width; tokens: length of the text."""

    device: torch.device
    latent: int
    tokens: int
    warmup: int = 20
    repeats: int = 100
    images: int = 0
    sampling: SamplingConfig = SamplingConfig()  # noqa: RUF009 (frozen)

    def inputs(self, unet: Any, setup: Setup) -> dict[str, Tensor]:
        """Inputs of the call that guidance makes for a batch of images."""
        samples = setup.batch * (2 if self.sampling.guidance > 1 else 1)
        return call_inputs(unet, self.latent, self.tokens, samples, self.device, setup.torch_dtype)


@dataclass(frozen=True)
class Times:
    """Seconds of repeats: each expert's U-Net call, the dense one's, whole batches of images, and routing a batch."""

    calls: list[Tensor]
    dense_calls: Tensor
    image: Tensor
    dense_image: Tensor
    route: Tensor
    calls_per_image: int
    busiest: int  # the expert of `image`

    def per_image(self, share: Tensor, batch: int, resamples: int = RESAMPLES) -> tuple[Tensor, Tensor]:
        """Seconds per image of the mixture, traffic-weighted, and of the dense network: [resamples], estimate first.

        share: [experts], each expert's part of the prompts; batch: images made together.
        """
        generator = torch.Generator().manual_seed(0)
        image, dense, route = (
            resampled_medians(t, resamples, generator) for t in (self.image, self.dense_image, self.route)
        )
        calls = torch.stack([resampled_medians(times, resamples, generator) for times in self.calls])
        others = self.calls_per_image * (share @ calls - calls[self.busiest])
        return (route + image + others) / batch, dense / batch

    def per_call(self, share: Tensor, resamples: int = RESAMPLES) -> tuple[Tensor, Tensor]:
        """Seconds of a call of the mixture, traffic-weighted, and of the dense network: [resamples], estimate first."""
        generator = torch.Generator().manual_seed(0)
        calls = torch.stack([resampled_medians(times, resamples, generator) for times in self.calls])
        return share @ calls, resampled_medians(self.dense_calls, resamples, generator)


def call_inputs(
    unet: Any, latent: int, tokens: int, samples: int, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Random inputs of one call on `samples` samples, the same every time."""
    generator = torch.Generator().manual_seed(0)
    drawn = {
        name: torch.randn(samples, *like.shape[1:], generator=generator).to(device, dtype)
        for name, like in example_inputs(unet, latent, tokens).items()
        if like.is_floating_point()
    }
    return {**drawn, "timestep": torch.tensor(TIMESTEP, device=device)}


def count_calls(unet: nn.Module, run: Callable[[], object]) -> int:
    """How often `run()` calls `unet`."""
    seen: list[None] = []
    handle = unet.register_forward_pre_hook(lambda *_: seen.append(None))
    try:
        run()
    finally:
        handle.remove()
    return len(seen)


@dataclass(frozen=True)
class Measured:
    """What one way of running came to: the times, the attention kernels, bytes at the peak (None off a GPU), seconds to compile."""

    times: Times
    attention: list[str]
    peak_bytes: int | None
    dense_peak_bytes: int | None
    first_call_s: float


def measure(
    mixture: Mixture, share: Tensor, teacher: StableDiffusionPipeline, setup: Setup, protocol: Protocol
) -> Measured:
    """Time a mixture beside the teacher's U-Net. share: [experts], parts of the prompts; networks stay as they are.

    One expert and the dense network are on the device at a time.
    """
    device, busiest = protocol.device, int(share.argmax())
    if setup.compiled:
        torch._dynamo.reset()  # what was compiled for the last row
    dense = setup.ready(teacher.unet, device)
    inputs = protocol.inputs(teacher.unet, setup)
    calls, first = [], 0.0
    for i in range(len(mixture)):
        network = setup.ready(mixture.experts[i], device)
        first += _first_call(network, inputs, device)
        calls.append(_calls(network, dense, inputs, protocol))
        if i == busiest:
            peak, image = _peak(network, inputs, device), _images(network, dense, teacher, setup, protocol)
            kernels = attention_kernels(placed(mixture.experts[i], device, setup.torch_dtype), inputs)
    times = Times(
        calls=[each["expert"] for each in calls],
        dense_calls=torch.cat([each["dense"] for each in calls]),
        image=image.expert,
        dense_image=image.dense,
        route=_routing(mixture, setup.batch, protocol),
        calls_per_image=image.unet_calls,
        busiest=busiest,
    )
    return Measured(times, kernels, peak, _peak(dense, inputs, device), first)


def spread(replicates: Tensor, times: Tensor) -> Spread:
    """A median with its bootstrap interval (replicates: [r], estimate first) and the quartiles of its times: [n]."""
    facts = summary(times)
    return Spread(
        median_s=float(replicates[0]),
        interval_s=percentile(replicates),
        q25_s=facts["q25_s"],
        q75_s=facts["q75_s"],
        n=len(times),
    )


def ratio(mixture: Tensor, dense: Tensor) -> Ratio:
    """Mixture over dense, with a bootstrap interval. Both: [r], estimate first."""
    return Ratio(value=float(mixture[0] / dense[0]), interval=percentile(mixture / dense))


def _first_call(network: nn.Module, inputs: dict[str, Tensor], device: torch.device) -> float:
    start = time.perf_counter()
    with torch.inference_mode():
        network(**inputs)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _calls(network: nn.Module, whole: nn.Module, inputs: dict[str, Tensor], protocol: Protocol) -> dict[str, Tensor]:
    with torch.inference_mode():
        calls = {"expert": lambda: network(**inputs), "dense": lambda: whole(**inputs)}
        return alternately(calls, protocol.device, protocol.warmup, protocol.repeats)


@dataclass(frozen=True)
class _Images:
    """Seconds of batches of whole images, and U-Net calls of one; zeros where none were asked for."""

    expert: Tensor = NOTHING
    dense: Tensor = NOTHING
    unet_calls: int = 0


def _images(
    network: nn.Module, dense: nn.Module, teacher: StableDiffusionPipeline, setup: Setup, protocol: Protocol
) -> _Images:
    if not protocol.images:
        return _Images()
    pipeline = pipeline_on(teacher, protocol.device, setup.torch_dtype)
    sampler = Sampler(pipeline, protocol.sampling, 0, protocol.device, protocol.latent)
    captions, numbers = [PROMPT] * setup.batch, range(setup.batch)
    with torch.inference_mode():
        calls = count_calls(network, lambda: sampler(network, captions, numbers))
        makes = {
            "expert": lambda: sampler(network, captions, numbers),
            "dense": lambda: sampler(dense, captions, numbers),
        }
        seconds = alternately(makes, protocol.device, 1, protocol.images)
    return _Images(seconds["expert"], seconds["dense"], calls)


def _routing(mixture: Mixture, batch: int, protocol: Protocol) -> Tensor:
    """Seconds of routing a batch of prompts, a part of an image's time: [images], or zero where none are made."""
    if not protocol.images:
        return NOTHING
    prompts = [PROMPT] * batch
    return alternately({"route": lambda: mixture.route(prompts)}, protocol.device, 1, protocol.images)["route"]


def _peak(network: nn.Module, inputs: dict[str, Tensor], device: torch.device) -> int | None:
    if device.type != "cuda":
        return None
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    with torch.inference_mode():
        return weights + peak_allocated(lambda: network(**inputs), device)
