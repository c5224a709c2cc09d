"""Images per second of pipelines that serve the same stream of prompts, in turns, so that a slow minute slows all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from aptp_bench.profiling.timing import Call, alternately
from aptp_bench.serving.pipeline import RoutedPipeline


def throughput(
    pipelines: Mapping[str, RoutedPipeline],
    prompts: Sequence[str],
    batch: int = 16,
    repeats: int = 5,
    warmup: int = 1,
    **settings: Any,
) -> dict[str, Tensor]:
    """Seconds in which each pipeline serves all prompts, text to pixels, routing and loading included: [repeats] each.

    All are on one device; batch: most prompts sampled together; settings: more arguments of the pipelines' call, such
    as num_inference_steps. Each repeat begins with the experts in memory that the one before left there.
    """
    device = next(iter(pipelines.values())).device
    calls = {name: _serving(each, prompts, batch, settings) for name, each in pipelines.items()}
    return alternately(calls, device, warmup, repeats)


def routing(pipeline: RoutedPipeline, prompts: Sequence[str], batch: int = 16, repeats: int = 5) -> Tensor:
    """Seconds in which all prompts are routed and laid out in batches, none of them sampled: [repeats]."""

    def route() -> None:
        pipeline.layout(pipeline.mixture.route(prompts), batch)

    return alternately({"route": route}, pipeline.device, 1, repeats)["route"]


def images_per_second(seconds: Tensor, prompts: int) -> float:
    """The median rate of repeats that each served `prompts` prompts in `seconds`: [repeats]."""
    return prompts / float(seconds.median())


def _serving(pipeline: RoutedPipeline, prompts: Sequence[str], batch: int, settings: dict[str, Any]) -> Call:
    def serve() -> None:
        pipeline(prompts, batch_size=batch, output_type="pt", **settings)

    return serve
