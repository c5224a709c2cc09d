"""aptp-bench profile"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aptp_bench.cli.options import Device, Json, print_json, set_option
from aptp_bench.errors import ConfigError

if TYPE_CHECKING:
    from aptp_bench.profiling.profile import Profiler
    from aptp_bench.profiling.records import SpeedRecord

EPILOG = (
    "Examples: aptp-bench profile --model sd21 --resolution 512  |  aptp-bench profile --model sd21 --method bk_sdm --budget 0.7"
    "  |  aptp-bench profile --model mini --method norm --budget 0.78 --latency image --dtype fp32,bf16 --batch 1,4"
)


def profile(
    model: Annotated[
        str | None,
        typer.Option(help="The model, or a scale for its model; default: mini, or the run's. See: aptp-bench models."),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Profile what this method makes of it: see aptp-bench methods.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Share of the dense MACs that the method keeps; default: 0.78.")
    ] = None,
    macs: Annotated[str, typer.Option(help="How the budget's MACs are counted: exact, aptp or modules.")] = "exact",
    settings: Annotated[list[str] | None, set_option("key=value, an option of the method.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the method.")] = 0,
    run: Annotated[Path | None, typer.Option(help="A run's folder: profile its experts.")] = None,
    mixture: Annotated[Path | None, typer.Option(help="A saved mixture of this model: profile its experts.")] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Profile this U-Net, pruned or not: a folder, a hub id, or random. With --method, the teacher's."
        ),
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(min=1, help="Pixels, width = height; default: the model's own.")
    ] = None,
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
    from aptp_bench.core import provenance
    from aptp_bench.core.files import check_writable
    from aptp_bench.core.progress import reporter
    from aptp_bench.profiling import records, setups
    from aptp_bench.profiling.request import Request, profiled

    if plot is not None:
        _check_plot(plot)
    request = Request(
        model=model,
        method=method,
        budget=budget,
        macs=macs,
        settings=settings or (),
        seed=seed,
        run=run,
        mixture=mixture,
        weights=weights,
        resolution=resolution,
        on=on or (),
        setups=setups.parse(dtype, batch, compiled, channels_last) if latency != "none" else (),
        warmup=warmup,
        repeats=repeats,
        images=max(2, repeats // 5) if latency == "image" else 0,
        device=device,
    )
    profiler, record = profiled(request, provenance.command_line(["aptp-bench"], sys.argv[1:]), reporter())
    if plot is not None:
        _draw(profiler, plot)
    if results_dir is not None:
        check_writable(results_dir, "--results-dir")
        typer.echo(f"record: {records.save(record, results_dir)}", err=True)
    if as_json:
        print_json(_document(record, profiler))
    else:
        from aptp_bench.cli.profile_view import show_profile

        show_profile(record, profiler, depth)


def _check_plot(path: Path) -> None:
    from aptp_bench.core.files import check_regular, check_writable

    if path.suffix not in (".png", ".svg"):
        raise ConfigError(f"--plot draws .png and .svg; got '{path.name}'")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--plot: {path.absolute().parent} is no folder; make it first")
    check_regular(path)
    check_writable(path.absolute().parent, "--plot")


def _draw(profiler: Profiler, path: Path) -> None:
    from aptp_bench.reporting.figures import speed, style

    style.save(speed.macs_by_block(profiler), path)
    typer.echo(f"plot: {path}", err=True)


def _document(record: SpeedRecord, profiler: Profiler) -> dict[str, Any]:
    """The record, and what only a model's geometry says: gates, the tree of blocks, what others count."""
    from aptp_bench.profiling.breakdown import as_others_count

    found = {**record.model_dump(mode="json"), **profiler.gates(), "prunable": profiler.prunable()}
    found["tree"] = asdict(profiler.tree())
    return {**found, "as_others_count": as_others_count(profiler.experts[0], profiler.inputs(profiler.experts[0]))}
