"""Seconds of one U-Net call and of a whole image, of a mixture beside its dense teacher, in one way of running.

Runs alternate, so that a machine that slows down slows both. The call is the one that guidance makes (twice the
batch); the image is the papers' protocol: text encoder, 25 PNDM steps (26 calls), guidance 7.5, decoder. Of a mixture
every expert's call is timed and the busiest one's image: others' images differ by their calls only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor, nn

from aptp_bench.config import SamplingConfig
from aptp_bench.generate import Sampler
from aptp_bench.intervals import RESAMPLES, percentile
from aptp_bench.models.macs import example_inputs
from aptp_bench.profiling.memory import peak_allocated
from aptp_bench.profiling.records import Ratio, Spread
from aptp_bench.profiling.setups import Setup, attention_kernels
from aptp_bench.profiling.timing import alternately, pipeline_on, placed, resampled_medians, summary

TIMESTEP = 500
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
    experts: Sequence[nn.Module], dense: nn.Module, share: Tensor, teacher: StableDiffusionPipeline, setup: Setup, protocol: Protocol
) -> Measured:  # fmt: skip
    """Time a mixture's experts beside the dense network. share: [experts], parts of the prompts; networks stay as they are.

    One expert and the dense network are on the device at a time.
    """
    device, busiest = protocol.device, int(share.argmax())
    whole = setup.ready(dense, device)
    inputs = protocol.inputs(dense, setup)
    calls, dense_calls, first = [], [], 0.0
    image, images_calls = {"expert": torch.zeros(1), "dense": torch.zeros(1)}, 0
    for i, expert in enumerate(experts):
        network = setup.ready(expert, device)
        first += _first_call(network, inputs, device)
        timed = _calls(network, whole, inputs, protocol)
        calls.append(timed["expert"])
        dense_calls.append(timed["dense"])
        if i == busiest:
            kernels = attention_kernels(placed(expert, device, setup.torch_dtype), inputs)
            peak = _peak(network, inputs, device)
            if protocol.images:
                image, images_calls = _images(network, whole, teacher, setup, protocol)
        del network
    nothing = torch.zeros(1, dtype=torch.float64)
    times = Times(
        calls, torch.cat(dense_calls), image["expert"].double(), image["dense"].double(), nothing, images_calls, busiest
    )
    return Measured(times, kernels, peak, _peak(whole, inputs, device), first)


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


def _images(
    network: nn.Module, whole: nn.Module, teacher: StableDiffusionPipeline, setup: Setup, protocol: Protocol
) -> tuple[dict[str, Tensor], int]:
    """Seconds of batches of whole images, and how many U-Net calls one takes."""
    pipeline = pipeline_on(teacher, protocol.device, setup.torch_dtype)
    sampler = Sampler(pipeline, protocol.sampling, 0, protocol.device, protocol.latent)
    captions = [PROMPT] * setup.batch
    with torch.inference_mode():
        calls = count_calls(network, lambda: sampler(network, captions, range(setup.batch)))
        makes = {
            "expert": lambda: sampler(network, captions, range(setup.batch)),
            "dense": lambda: sampler(whole, captions, range(setup.batch)),
        }
        return alternately(makes, protocol.device, 1, protocol.images), calls


def _peak(network: nn.Module, inputs: dict[str, Tensor], device: torch.device) -> int | None:
    if device.type != "cuda":
        return None
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    with torch.inference_mode():
        return weights + peak_allocated(lambda: network(**inputs), device)
