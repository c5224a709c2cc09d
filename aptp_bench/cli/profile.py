"""aptp-bench profile"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aptp_bench.cli.options import Device, Json, print_json

if TYPE_CHECKING:
    import torch
    from diffusers import StableDiffusionPipeline

    from aptp_bench.plugins import ModelPlugin
    from aptp_bench.profiling.profile import Profiler
    from aptp_bench.profiling.records import SpeedRecord, Timing
    from aptp_bench.profiling.setups import Setup
    from aptp_bench.profiling.speed import Protocol
    from aptp_bench.profiling.targets import Asked, Subject

EPILOG = (
    "Examples: aptp-bench profile --model sd21 --resolution 512  |  aptp-bench profile --model sd21 --method bk_sdm --budget 0.7"
    "  |  aptp-bench profile --model mini --method norm --budget 0.78 --latency image --dtype fp32,bf16 --batch 1,4"
)
RANDOM = "random"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(profile)


def profile(
    model: Annotated[
        str | None, typer.Option(help="The model, or a scale for its model; default: mini, or the run's.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Profile what this method makes of it: see aptp-bench methods.")
    ] = None,
    budget: Annotated[float, typer.Option(help="Share of the dense MACs that the method keeps.")] = 0.78,
    macs: Annotated[str, typer.Option(help="How the budget's MACs are counted: exact, aptp or modules.")] = "exact",
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value, an option of the method.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the method.")] = 0,
    run: Annotated[Path | None, typer.Option(help="A run's folder: profile its experts.")] = None,
    mixture: Annotated[Path | None, typer.Option(help="A saved mixture of this model: profile its experts.")] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="The teacher's: a folder, a hub id, or random; default: embedded ones, else random."),
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="Pixels, width = height; default: the model's own.")] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(help="Device of the predicted latency (A100, H100, H200, 'RTX 3090', here); repeatable."),
    ] = None,
    latency: Annotated[
        Literal["none", "call", "image"], typer.Option(help="Measure U-Net calls, or whole images too.")
    ] = "none",
    dtype: Annotated[str, typer.Option(help="Types to measure: fp32, fp16, bf16, commas between.")] = "fp32",
    batch: Annotated[str, typer.Option(help="Images made together, e.g. 1,4,16.")] = "1",
    compiled: Annotated[bool, typer.Option("--compile", help="Measure compiled networks beside eager ones.")] = False,
    channels_last: Annotated[bool, typer.Option("--channels-last", help="Lay images out with channels last.")] = False,
    warmup: Annotated[int, typer.Option(min=0, help="Untimed calls before the timed ones.")] = 5,
    repeats: Annotated[int, typer.Option(min=2, help="Timed calls; a fifth as many images.")] = 20,
    device: Device = "auto",
    depth: Annotated[int, typer.Option(min=1, help="Levels of the tree of blocks.")] = 1,
    plot: Annotated[Path | None, typer.Option(help="Draw MACs by block to this .png or .svg.")] = None,
    results_dir: Annotated[Path | None, typer.Option(help="Save the profile as a record under this folder.")] = None,
    as_json: Json = False,
) -> None:
    """MACs, parameters, alignment, memory, predicted and measured latency of a model, a method's result or a run.

    MACs, parameters and predictions need no weights and no GPU: the true geometry is enough.
    """
    _one_of(method, run, mixture)
    if plot is not None:
        _check_plot(plot)
    asked = _asked(method, settings or [], budget, macs, seed)
    what = _What(model, weights, asked, run, mixture, resolution, on)
    profiler, record = _profiled(what, _How(latency, dtype, batch, compiled, channels_last, warmup, repeats, device))
    if plot is not None:
        _draw(profiler, plot)
    if results_dir is not None:
        _save(record, results_dir)
    _show(record, profiler, depth, as_json)


@dataclass(frozen=True)
class _What:
    """What is profiled, as it was asked for; asked: a method's result, or None."""

    model: str | None
    weights: str | None
    asked: Asked | None
    run: Path | None
    mixture: Path | None
    resolution: int | None
    on: list[str] | None


@dataclass(frozen=True)
class _How:
    """What is measured, as it was asked for."""

    latency: str
    dtype: str
    batch: str
    compiled: bool
    channels_last: bool
    warmup: int
    repeats: int
    device: str

    @property
    def images(self) -> int:
        """Whole images to be timed."""
        return max(2, self.repeats // 5) if self.latency == "image" else 0


def _profiled(what: _What, how: _How) -> tuple[Profiler, SpeedRecord]:
    from aptp_bench.core import provenance
    from aptp_bench.models.weights import quiet
    from aptp_bench.profiling import devices, setups
    from aptp_bench.profiling.profile import Profiler
    from aptp_bench.profiling.speed import Protocol
    from aptp_bench.profiling.targets import latent_size

    timed = how.latency != "none"
    ways = setups.parse(how.dtype, how.batch, how.compiled, how.channels_last) if timed else []
    provenance.use_threads()
    place = provenance.device(how.device)
    with quiet(), tempfile.TemporaryDirectory() as scratch:
        kind, subject, teacher = _subject(what, timed, Path(scratch), place)
        profiler = Profiler(kind, subject, latent_size(kind, what.resolution))
        predicted = profiler.predicted(what.on or list(devices.known()))
        protocol = Protocol(place, profiler.latent, kind.tokens, how.warmup, how.repeats, how.images)
        timings = _measured(profiler, ways, teacher, protocol)
    command = provenance.command_line(["aptp-bench"], sys.argv[1:])
    return profiler, profiler.record(predicted, timings, command, place)


def _one_of(*given: Any) -> None:
    from aptp_bench.errors import ConfigError

    if sum(each is not None for each in given) > 1:
        raise ConfigError("--method, --run and --mixture exclude each other; give one of them")


def _asked(method: str | None, settings: list[str], budget: float, macs: str, seed: int) -> Asked | None:
    """The method's result that is asked for; None if none is."""
    from aptp_bench.budget import Budget
    from aptp_bench.config import options
    from aptp_bench.errors import ConfigError
    from aptp_bench.profiling.targets import Asked

    if method is None:
        if settings:
            raise ConfigError("--set changes a method's options; name the method with --method")
        return None
    return Asked(method, options(method, settings), Budget.of(budget, macs), seed)


def _subject(
    what: _What, timed: bool, scratch: Path, device: torch.device
) -> tuple[ModelPlugin, Subject, StableDiffusionPipeline | None]:
    """The model, what is profiled, and the teacher where one is needed."""
    from aptp_bench.core.progress import reporter
    from aptp_bench.harness.run_folder import RunFolder
    from aptp_bench.profiling import targets

    found = None if what.run is None else RunFolder.load(what.run)
    name = what.model or (found.recipe.model if found else None)
    weights = what.weights or (found.recipe.weights if found else None)
    kind = targets.model(name or "mini")
    own = None if weights is None and kind.world == "mini" else weights or RANDOM
    teacher = kind.load(own).to(device) if timed or what.asked else None
    if what.asked is not None and teacher is not None:
        return kind, targets.pruned(what.asked, teacher, scratch, device, reporter()), teacher
    if found is not None:
        return kind, targets.of_run(found), teacher
    if what.mixture is not None:
        return kind, targets.saved(what.mixture, what.mixture.name), teacher
    return kind, targets.dense(teacher.unet if teacher else kind.skeleton()), teacher


def _measured(
    profiler: Profiler, ways: list[Setup], teacher: StableDiffusionPipeline | None, protocol: Protocol
) -> list[Timing]:
    from aptp_bench.core.progress import reporter

    if teacher is None:
        return []
    return [profiler.measured(way, teacher, protocol) for way in reporter().track(ways, "latency")]


def _check_plot(path: Path) -> None:
    from aptp_bench.errors import ConfigError

    if path.suffix not in (".png", ".svg"):
        raise ConfigError(f"--plot draws .png and .svg; got '{path.name}'")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--plot: {path.absolute().parent} is no folder; make it first")


def _draw(profiler: Profiler, path: Path) -> None:
    from aptp_bench.profiling import plots
    from aptp_bench.reporting.figures import style

    style.save(plots.macs_by_block(profiler), path)
    typer.echo(f"plot: {path}", err=True)


def _save(record: SpeedRecord, results_dir: Path) -> None:
    from aptp_bench.core.store import check_writable
    from aptp_bench.profiling import records

    check_writable(results_dir, "--results-dir")
    typer.echo(f"record: {records.save(record, results_dir)}", err=True)


def _show(record: SpeedRecord, profiler: Profiler, depth: int, as_json: bool) -> None:
    if as_json:
        print_json(_document(record, profiler))
        return
    from aptp_bench.cli.profile_view import show_profile

    show_profile(record, profiler, depth)


def _document(record: SpeedRecord, profiler: Profiler) -> dict[str, Any]:
    """The record, and what only a model's geometry says: gates, the tree of blocks, what others count."""
    from aptp_bench.profiling.breakdown import as_others_count

    found = {**record.model_dump(mode="json"), **profiler.gates(), "prunable": profiler.prunable()}
    found["tree"] = profiler.tree().document()
    return {**found, "as_others_count": as_others_count(profiler.experts[0], profiler.inputs(profiler.experts[0]))}
