"""Seconds of one U-Net call and of a whole image, of a mixture beside its dense teacher, in one way of running.

Runs alternate, so that a machine that slows down slows both. The call is the one that guidance makes (twice the
batch); the image is the papers' protocol: text encoder, 25 PNDM steps (26 calls), guidance 7.5, decoder. Of a mixture
every expert's call is timed and the busiest one's image: others' images differ by their calls only. Where a mixture
plans its calls, the image is made so; a call is the mean over those of an image.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor, nn

from aptp_bench.core.intervals import RESAMPLES, percentile
from aptp_bench.core.settings import SamplingConfig
from aptp_bench.errors import ConfigError
from aptp_bench.generation.sampling import Sampler, parts_of
from aptp_bench.models.call_plan import PLAIN, CallPlan, ImageCalls
from aptp_bench.models.feature_cache import reusing
from aptp_bench.profiling.kernels import attention_kernels
from aptp_bench.profiling.memory import peak_allocated
from aptp_bench.profiling.records import Ratio, Spread
from aptp_bench.profiling.setups import Setup, placed_copy
from aptp_bench.profiling.timing import alternately, placed, resampled_medians, seconds, summary
from aptp_bench.pruning.macs import example_inputs

if TYPE_CHECKING:
    from aptp_bench.models.mixture import Mixture

TIMESTEP = 500
HOST_CALLS = 10
NOTHING = torch.zeros(1, dtype=torch.float64)
PROMPT = "a photograph of a lighthouse on a cliff above the sea"


@dataclass(frozen=True)
class Protocol:
    """How often, on which sizes and prompts.

    latent: height = width; tokens: length of the text; warmup, repeats: untimed and timed U-Net calls; images: timed
    batches of images, 0 for none; routes: timed routings of a batch, as many as images if None; prompts: routed and
    drawn in turns; fewest: experts share the calls, each having so many at least; None: each has all.
    """

    device: torch.device
    latent: int
    tokens: int
    warmup: int = 20
    repeats: int = 100
    images: int = 0
    sampling: SamplingConfig = SamplingConfig()  # noqa: RUF009 (frozen)
    routes: int | None = None
    prompts: Sequence[str] = (PROMPT,)
    fewest: int | None = None

    def each(self, calls: int, experts: int) -> int:
        """How many of so many calls each expert gets."""
        return calls if self.fewest is None else max(min(calls, self.fewest), -(-calls // experts))

    def samples(self, setup: Setup) -> int:
        """Samples of the call for a batch of images: guidance doubles them."""
        return setup.batch * (2 if self.sampling.guidance > 1 else 1)

    def inputs(self, unet: Any, setup: Setup) -> dict[str, Tensor]:
        """Inputs of the call that guidance makes for a batch of images."""
        return call_inputs(unet, self.latent, self.tokens, self.samples(setup), self.device, setup.torch_dtype)

    def batch(self, number: int, size: int) -> list[str]:
        """Batch `number` of `size` prompts, the first ones again after the last."""
        return [self.prompts[i % len(self.prompts)] for i in range(number * size, (number + 1) * size)]


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

    def tensors(self) -> dict[str, Tensor]:
        """All of it as tensors by name, to be kept; `of` reads them."""
        numbers = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "calls"}
        named = {name: torch.as_tensor(value).clone() for name, value in numbers.items()}
        return named | {f"calls.{i}": each for i, each in enumerate(self.calls)}

    @classmethod
    def of(cls, kept: Mapping[str, Tensor]) -> Times:
        """What `tensors` gave."""
        calls = [kept[f"calls.{i}"] for i in range(sum(name.startswith("calls.") for name in kept))]
        numbers = {name: int(kept[name]) for name in ("calls_per_image", "busiest")}
        return cls(calls, **{name: kept[name] for name in ("dense_calls", "image", "dense_image", "route")}, **numbers)

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
    """What one way of running came to: the times, the attention kernels, seconds to compile.

    Off a GPU None: bytes at the peak, and the busiest expert's seconds in which the host issues a call.
    """

    times: Times
    attention: list[str]
    peak_bytes: int | None
    dense_peak_bytes: int | None
    first_call_s: float
    host_call_s: float | None


class Ready:
    """Networks made ready for one way of running on one device; the dense one is kept from row to row."""

    def __init__(self, setup: Setup, teacher: StableDiffusionPipeline, device: torch.device) -> None:
        if setup.compiled:
            torch._dynamo.reset()  # what was compiled for another way of running
        self.setup, self.teacher, self.device = setup, teacher, device
        self.dense = setup.ready(teacher.unet, device)

    def __call__(self, network: nn.Module) -> Any:
        """The network so."""
        return self.dense if network is self.teacher.unet else self.setup.ready(network, self.device)

    def parts(self, scheduler: str) -> dict[str, Any]:
        """What a sampler needs beside the U-Net."""
        return {
            name: placed(part, self.device, self.setup.torch_dtype) if isinstance(part, nn.Module) else part
            for name, part in parts_of(self.teacher, scheduler).items()
        }


def measure(mixture: Mixture, share: Tensor, ready: Ready, protocol: Protocol) -> Measured:
    """Time a mixture beside the teacher's U-Net. share: [experts], parts of the prompts; networks stay as they are.

    One expert and the dense network are on the device at a time. Compiled ones are warmed up in full. Raises ConfigError
    for compiled ones that reuse features.
    """
    plan = mixture.plan
    if ready.setup.compiled and plan.branch is not None:
        raise ConfigError("calls that reuse features are not timed compiled; omit --compile")
    setup, device, busiest = ready.setup, protocol.device, int(share.argmax())
    inputs = protocol.inputs(ready.teacher.unet, setup)
    repeats = protocol.each(protocol.repeats, len(mixture))
    warmup = protocol.warmup if setup.compiled else protocol.each(protocol.warmup, len(mixture))
    calls, first = [], 0.0
    for i in range(len(mixture)):
        expert = mixture.experts[i]
        network = ready(expert)
        call = partial(network, **inputs)
        with torch.inference_mode():
            first += seconds(call, device)
            calls.append(_calls(network, ready, inputs, _made(plan, ready, protocol), warmup, repeats))
        if i == busiest:
            peak, host = _peak(network, inputs, device, plan), host_seconds(call, device)
            image = _images(network, ready, protocol, plan)
            kernels = attention_kernels(placed(expert, device, setup.torch_dtype), inputs)
    times = Times(
        calls=[each["expert"] for each in calls],
        dense_calls=torch.cat([each["dense"] for each in calls]),
        route=_routing(mixture, setup.batch, protocol),
        busiest=busiest,
        **image,
    )
    return Measured(times, kernels, peak, _peak(ready.dense, inputs, device), first, host)


def _made(plan: CallPlan, ready: Ready, protocol: Protocol) -> ImageCalls:
    """The calls of an image under the plan."""
    return plan.kinds if plan.branch is None else Sampler.of(ready.teacher, protocol.sampling, plan=plan).calls


def _calls(
    network: Any, ready: Ready, inputs: dict[str, Tensor], made: ImageCalls, warmup: int, repeats: int
) -> dict[str, Tensor]:
    """Seconds of the network's call, the mean over those of an image, and of the dense one's: "expert", "dense", [repeats]."""
    dense = partial(ready.dense, **inputs)
    if made.branch is None:
        return alternately({"expert": partial(network, **inputs), "dense": dense}, ready.device, warmup, repeats)
    own: Any = placed_copy(network, ready.dense)
    with reusing(own, made.branch) as turn:

        def call(full: bool) -> None:
            turn.full = full
            own(**inputs)

        kinds = {"full": partial(call, True), "reusing": partial(call, False), "dense": dense}
        timed = alternately(kinds, ready.device, warmup, repeats)
    mean = (made.full * timed["full"] + (made.made - made.full) * timed["reusing"]) / made.made
    return {"expert": mean, "dense": timed["dense"]}


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


def host_seconds(call: Callable[[], object], device: torch.device) -> float | None:
    """Seconds until a call returns, the device being still at work: a call that takes no longer waits for the host."""
    if device.type != "cuda":
        return None
    took = []
    with torch.inference_mode():
        for _ in range(HOST_CALLS):
            torch.cuda.synchronize(device)
            start = time.perf_counter()
            call()
            took.append(time.perf_counter() - start)
    return statistics.median(took)


def _images(network: nn.Module, ready: Ready, protocol: Protocol, plan: CallPlan) -> dict[str, Any]:
    """Seconds of a batch of whole images, text to 8-bit pixels, and its U-Net calls, as Times has them; zeros unasked."""
    if not protocol.images:
        return {"image": NOTHING, "dense_image": NOTHING, "calls_per_image": 0}
    parts = ready.parts(protocol.sampling.scheduler)
    draw, draw_dense = (Sampler(parts, protocol.sampling, plan=each).draw for each in (plan, PLAIN))
    size = ready.setup.batch
    what = (protocol.batch(0, size), range(size), protocol.latent)
    with torch.inference_mode():
        calls = count_calls(network, lambda: draw(network, *what))
        pair = {"image": lambda: draw(network, *what), "dense_image": lambda: draw_dense(ready.dense, *what)}
        return {**alternately(pair, protocol.device, 1, protocol.images), "calls_per_image": calls}


def _routing(mixture: Mixture, size: int, protocol: Protocol) -> Tensor:
    """Seconds of routing a batch of prompts, a part of an image's time: [routes], or zero where none are made."""
    if not protocol.images:
        return NOTHING
    numbers = count()

    def route() -> None:
        mixture.route(protocol.batch(next(numbers), size))

    repeats = protocol.images if protocol.routes is None else protocol.routes
    return alternately({"route": route}, protocol.device, max(1, protocol.warmup), repeats)["route"]


def _peak(network: Any, inputs: dict[str, Tensor], device: torch.device, plan: CallPlan = PLAIN) -> int | None:
    if device.type != "cuda":
        return None
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    kinds = plan.kinds

    def call() -> None:
        with kinds.followed(network):
            for _ in kinds.turns:
                network(**inputs)

    with torch.inference_mode():
        return weights + peak_allocated(call, device)
