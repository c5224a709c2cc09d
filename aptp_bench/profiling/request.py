"""One profile from what was asked for: what `aptp_bench.profile` and the command have in common."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveInt, ValidationError

from aptp_bench import registry
from aptp_bench.budget import Budget
from aptp_bench.config import options
from aptp_bench.contracts.model import ModelPlugin
from aptp_bench.core import provenance, threads
from aptp_bench.core.documents import Frozen, first_problem
from aptp_bench.core.progress import Progress, SilentProgress
from aptp_bench.errors import ConfigError, spoken_in_python
from aptp_bench.harness.run_folder import RunFolder
from aptp_bench.models.weights import quiet
from aptp_bench.profiling import devices, targets
from aptp_bench.profiling.profile import Profiler
from aptp_bench.profiling.records import SpeedRecord
from aptp_bench.profiling.setups import Setup
from aptp_bench.profiling.speed import Protocol, Ready
from aptp_bench.profiling.targets import Asked, Subject

if TYPE_CHECKING:
    import torch
    from diffusers import StableDiffusionPipeline

RANDOM = "random"
BUDGET = 0.78


class Request(Frozen):
    """What is profiled: a model, what a method makes of it, a run's experts, or a saved mixture's; and what is timed."""

    model: str | None = Field(None, description="a model, or a scale for its model; None: mini, or the run's")
    method: str | None = Field(None, description="profile what this method makes of the model")
    budget: float | None = Field(
        None, description="share of the dense MACs that the method keeps; None: 0.78, or what published weights keep"
    )
    macs: str = Field("exact", description="how the budget's MACs are counted")
    settings: tuple[str, ...] = Field((), description="key=value lines, options of the method")
    seed: int = Field(0, description="of the method")
    run: Path | None = Field(None, description="a run's folder")
    mixture: Path | None = Field(None, description="a saved mixture of this model")
    weights: str | None = Field(
        None, description="whose U-Net is profiled, or a method's teacher; None: embedded ones, else random"
    )
    resolution: PositiveInt | None = Field(None, description="pixels, width = height; None: the model's own")
    on: tuple[str, ...] = Field((), description="devices of the predicted latency; none: all that are known")
    setups: tuple[Setup, ...] = Field((), description="ways of running that are timed; none: nothing is timed")
    warmup: int = Field(5, ge=0, description="untimed calls before the timed ones")
    repeats: int = Field(20, ge=2, description="timed U-Net calls")
    images: int = Field(0, ge=0, description="timed batches of whole images")
    device: str = Field("auto", description="where it is timed: auto, cpu, cuda, …")


@spoken_in_python()
def profile(model: str | None = None, **asked: Any) -> SpeedRecord:
    """MACs, parameters, alignment, memory, predicted latency, and measured latency where `setups` are given.

    `profile("sd21", method="norm", budget=0.7)`: the fields of `Request` by name. MACs, parameters and predictions need
    no weights and no GPU. Raises AptpBenchError.
    """
    words = [repr(model)] * (model is not None) + [f"{name}={value!r}" for name, value in asked.items()]
    try:
        request = Request(model=model, **asked)
    except ValidationError as err:
        raise ConfigError(f"profile: {first_problem(err)}; it takes {', '.join(Request.model_fields)}") from err
    return profiled(request, f"aptp_bench.profile({', '.join(words)})")[1]


def profiled(request: Request, command: str, progress: Progress | None = None) -> tuple[Profiler, SpeedRecord]:
    """The profile that is asked for, and its record. command: what measures it again. Raises AptpBenchError."""
    progress = progress or SilentProgress()
    asked = _asked(request)
    threads.use_threads()
    device = provenance.device(request.device)
    with quiet(), tempfile.TemporaryDirectory() as scratch:
        kind, teacher, subject = _subject(request, asked, Path(scratch), device, progress)
        profiler = Profiler(kind, subject, targets.latent_size(kind, request.resolution))
        predicted = profiler.predicted(request.on or list(devices.known()))
        counts = (request.warmup, request.repeats, request.images)
        protocol = Protocol(device, profiler.latent, kind.tokens, *counts)
        ways = progress.track(request.setups, "latency")
        timings = [profiler.measured(Ready(way, teacher, device), protocol) for way in ways if teacher is not None]
    return profiler, profiler.record(predicted, timings, command, device)


def _asked(request: Request) -> Asked | None:
    """The method's result that is asked for; None if none is."""
    if sum(each is not None for each in (request.method, request.run, request.mixture)) > 1:
        raise ConfigError("--method, --run and --mixture exclude each other; give one of them")
    if request.method is None:
        if request.settings:
            raise ConfigError("--set changes a method's options; name the method with --method")
        for name in ("budget", "macs", "seed"):
            if getattr(request, name) != Request.model_fields[name].default:
                raise ConfigError(f"--{name} is of a method; name the method with --method, or omit --{name}")
        return None
    settings = options(request.method, request.settings)
    usual = 1.0 if registry.get("methods", request.method).published_as else BUDGET
    budget = Budget.of(usual if request.budget is None else request.budget, request.macs)
    return Asked(request.method, settings, budget, request.seed)


def _subject(
    request: Request, asked: Asked | None, scratch: Path, device: torch.device, progress: Progress
) -> tuple[ModelPlugin, StableDiffusionPipeline | None, Subject]:
    """The model, the teacher where one is needed, and what is profiled."""
    found = None if request.run is None else RunFolder.load(request.run)
    kind = targets.model(request.model or (found.recipe.model if found else "mini"))
    alone = asked is None and found is None and request.mixture is None and request.weights not in (None, RANDOM)
    beside = None if alone else request.weights or (found.recipe.weights if found else None)
    own = None if beside is None and kind.world == "mini" else beside or RANDOM
    teacher = kind.load(own).to(device) if request.setups or asked else None
    if alone:  # weights that are profiled themselves, pruned or not
        return kind, teacher, targets.of_weights(str(request.weights), kind, "cpu" if request.setups else "meta")
    if asked is not None and teacher is not None:
        return kind, teacher, targets.pruned(asked, teacher, scratch, device, progress)
    if found is not None:
        return kind, teacher, targets.of_run(found)
    if request.mixture is not None:
        return kind, teacher, targets.saved(request.mixture)
    return kind, teacher, targets.dense(teacher.unet if teacher else kind.skeleton())
