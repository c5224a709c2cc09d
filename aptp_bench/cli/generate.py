"""aptp-bench generate"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aptp_bench.cli.options import Device, Json, asked_for, print_json, say
from aptp_bench.errors import ConfigError

if TYPE_CHECKING:
    from aptp_bench.serving.serve import Source

DTYPES = ("float32", "float16", "bfloat16", "float64")
MOST = 10_000_000  # images of a command: days of a GPU's work
EPILOG = (
    'Examples: aptp-bench generate --run runs/aptp-coco-0.78exact-seed0-mini --prompt "a red car"  |  '
    "aptp-bench generate --run RUN --prompts prompts.txt --out images  |  aptp-bench generate --run RUN --save pipeline"
)


def generate(
    run: Annotated[
        Path, typer.Option(help="A run's folder (the line `run:` that a run ends with), or a saved pipeline.")
    ],
    prompt: Annotated[list[str] | None, typer.Option(help="What to draw; may be given again.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="A text file, a prompt a line; - is stdin.")] = None,
    number: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Of a model that reads no prompts: how many images.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the images and of prompts.json.")] = Path("images"),
    steps: Annotated[int | None, typer.Option(help="Sampler steps; default: the run's.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale; default: the run's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the noise; default: the run's.")] = None,
    index: Annotated[int, typer.Option(min=0, help="Number of the first prompt: chooses its noise and its file.")] = 0,
    batch: Annotated[int | None, typer.Option(help="Prompts sampled together; default: the run's.")] = None,
    exact: Annotated[
        bool | None, typer.Option("--exact/--no-exact", help="Same bits in batches of any size; default: the run's.")
    ] = None,
    held: Annotated[int, typer.Option(min=1, help="Experts kept in memory.")] = 1,
    dtype: Annotated[str, typer.Option(help=f"One of {', '.join(DTYPES)}.")] = DTYPES[0],
    save: Annotated[Path | None, typer.Option(help="Write the mixture as a pipeline's folder.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Draw prompts with the mixture of a run, each by its expert."""
    from aptp_bench.core import provenance, threads
    from aptp_bench.core.files import check_replaceable
    from aptp_bench.models.weights import quiet
    from aptp_bench.serving.pipeline import MARKER
    from aptp_bench.serving.serve import check_apart, check_folder, draw, open_source

    asked = _texts(prompt or [], prompts, number, save)
    if asked:
        check_apart(out, "--out", run)
        check_folder(out)
    if save is not None:
        check_apart(save, "--save", run)
        if asked and save.resolve() == out.resolve():
            raise ConfigError(f"--out and --save both name {out}; name two folders")
        check_replaceable(save, MARKER)
    threads.use_threads()
    with quiet():
        source = open_source(run, provenance.device(device), _dtype(dtype), held)
        source = _changed(source, {"steps": steps, "guidance": guidance, "batch": batch, "exact": exact}, seed)
        _check_task(source, asked)
        source.pipeline.set_progress_bar_config(desc="generate", disable=not sys.stderr.isatty())
        rows = draw(source, asked, out, index) if asked else []
        if save is not None:
            source.save(save)
    _show(rows, out, save, as_json)


def _texts(given: list[str], file: Path | None, number: int | None, save: Path | None) -> list[str]:
    """What to draw: prompts, or as many empty ones."""
    asked = asked_for(given, file)
    if asked and number is not None:
        raise ConfigError("--number is for models that read no prompts; leave out it or the prompts")
    if not asked and number is None and (save is None or file is not None):
        raise ConfigError(
            "there is no prompt; give --prompt TEXT, or --prompts FILE with a prompt a line (--number N where the model "
            "reads none)"
        )
    return asked or [""] * (number or 0)


def _check_task(source: Source, asked: list[str]) -> None:
    """Raise ConfigError for prompts that would not be read, and for images without the prompts that they need."""
    if not asked or any(asked) == source.pipeline.reads_prompts:
        return
    if any(asked):
        raise ConfigError("this model reads no prompts; use --number N for N images")
    raise ConfigError("this model draws prompts; give --prompt TEXT, or --prompts FILE with a prompt a line")


def _dtype(name: str) -> Any:
    import torch

    if name not in DTYPES:
        raise ConfigError(f"unknown type '{name}'; use --dtype with one of {', '.join(DTYPES)}")
    return getattr(torch, name)


def _changed(source: Source, sampling: dict[str, Any], seed: int | None) -> Source:
    from dataclasses import replace

    from aptp_bench.serving.requests import sampling as check

    given = {name: value for name, value in sampling.items() if value is not None}
    config = source.sampling.model_copy(update=given)
    check(config.steps, config.guidance, config.batch)
    source.pipeline.check_steps(config)
    return replace(source, sampling=config, seed=source.seed if seed is None else seed)


def _show(rows: list[dict[str, Any]], out: Path, save: Path | None, as_json: bool) -> None:
    if as_json:
        print_json({"folder": str(out) if rows else None, "images": rows, "saved": str(save) if save else None})
        return
    for row in rows:
        say(f"{out / row['image']}: expert {row['expert']}: {row['prompt']}")
    if save is not None:
        say(f"pipeline: {save}")
