"""What serving a mixture costs: routing beside sampling, and eight experts beside one network, in the same run."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from aptp_bench.data.mini import MiniCOCO
from aptp_bench.methods.aptp.encoder import EMBEDDED, PromptEncoder
from aptp_bench.methods.aptp.gumbel import Relaxation
from aptp_bench.methods.aptp.predictor import Architect
from aptp_bench.methods.aptp.router import CosineRouter
from aptp_bench.methods.aptp.routing import Routing
from aptp_bench.methods.aptp.transport import Similarity
from aptp_bench.models.mixture import Mixture
from aptp_bench.models.stable_diffusion import MiniSD
from aptp_bench.profiling.timing import Call, alternately
from aptp_bench.pruning.gates import GateSpace
from aptp_bench.pruning.macs import count, example_inputs
from aptp_bench.pruning.surgery import cut
from aptp_bench.serving.pipeline import RoutedPipeline

SHARES = (0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.85, 0.9)  # of each expert's width gates
BATCH, PROMPTS, REPEATS = 16, 64, 3


@pytest.fixture(scope="module")
def prompts() -> list[str]:
    return list(MiniCOCO().load("val", PROMPTS)["caption"])


@pytest.fixture(scope="module")
def teacher() -> Any:
    return MiniSD().load()


def narrowed(unet: Any, share: float) -> Any:
    """The network with `share` of every layer's width gates."""
    space = GateSpace.of(unet)
    keep = torch.ones(space.size, dtype=torch.bool)
    for width in space.widths:
        keep[width.start + max(1, round(share * width.size)) : width.start + width.size] = False
    return cut(unet, space, keep)


def router(unet: Any, prompts: list[str]) -> CosineRouter:
    """APTP's router with the embedded encoder, untrained: its codes are what it predicts for eight of the prompts."""
    space, encoder = GateSpace.of(unet), PromptEncoder(EMBEDDED)
    z, generator = encoder(prompts), torch.Generator().manual_seed(0)
    architect = Architect(z.shape[1], space.size, len(SHARES), generator)
    architect.begin_codes("predicted", z, generator)
    return CosineRouter(encoder, Routing(architect.requires_grad_(False), Relaxation(space), Similarity.of(space)))


def pipeline(teacher: Any, mixture: Mixture) -> RoutedPipeline:
    made = RoutedPipeline.of(teacher, mixture)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def routed(teacher: Any, prompts: list[str]) -> RoutedPipeline:
    experts = [narrowed(teacher.unet, share) for share in SHARES]
    return pipeline(teacher, Mixture(experts, router(teacher.unet, prompts)))


def serving(pipe: RoutedPipeline, prompts: list[str], **settings: Any) -> Call:
    """The call that serves all prompts, text to pixels, routing and loading included."""
    return partial(pipe, prompts, batch_size=BATCH, output_type="pt", exact=False, **settings)


def macs(unet: Any) -> int:
    return count(unet, example_inputs(unet, tokens=MiniSD.tokens), "exact").total


def equal_static(teacher: Any, mean: float) -> Any:
    """One narrowed network whose MACs are nearest to `mean`."""
    candidates = [narrowed(teacher.unet, share / 100) for share in range(30, 101, 2)]
    return min(candidates, key=lambda unet: abs(macs(unet) - mean))


def test_routing_and_batching_are_a_fiftieth_of_sampling(benchmark, routed, prompts):
    stream = prompts[: 2 * BATCH]
    sampling = alternately({"routed": serving(routed, stream)}, routed.device, 1, 1)["routed"]
    route = {"route": lambda: routed.layout(routed.mixture.route(stream), BATCH)}
    routed.mixture.route(stream)
    benchmark.pedantic(lambda: alternately(route, routed.device, 1, 1), rounds=5)
    seconds = alternately(route, routed.device, 1, 7)["route"].median()
    benchmark.extra_info["share_of_sampling"] = share = float(seconds / (sampling.min() - seconds))
    assert share <= 0.02


def test_eight_experts_against_dense_and_static(benchmark, routed, teacher, prompts):
    routes = routed.mixture.route(prompts)
    costs = [macs(expert) for expert in routed.mixture.experts]
    dense, mean = macs(teacher.unet), sum(costs[i] for i in routes.tolist()) / len(routes)
    rivals = {"dense": teacher.unet, "static": equal_static(teacher, mean)}
    pipes = {"routed": routed, **{name: pipeline(teacher, Mixture.of_one(unet)) for name, unet in rivals.items()}}
    calls = {name: serving(pipe, prompts, num_inference_steps=4) for name, pipe in pipes.items()}
    times = benchmark.pedantic(lambda: alternately(calls, routed.device, 1, REPEATS), rounds=1)
    rates = {name: len(prompts) / float(seconds.median()) for name, seconds in times.items()}
    benchmark.extra_info |= {"images_per_second": rates, "experts_used": len(set(routes.tolist()))}
    benchmark.extra_info |= {"macs_ratio": mean / dense, "static_macs_ratio": macs(rivals["static"]) / dense}
    benchmark.extra_info |= {f"against_{name}": rates["routed"] / rates[name] for name in rivals}
    assert len(set(routes.tolist())) > 1
    assert rates["routed"] > 0.3 * rates["static"]  # smaller batches cost something, never most of it
