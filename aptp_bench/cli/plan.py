"""aptp-bench plan"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aptp_bench.cli.options import Json, print_json, set_option
from aptp_bench.errors import ConfigError

if TYPE_CHECKING:
    from aptp_bench.core.recipe import Recipe

EPILOG = (
    "Examples: aptp-bench plan aptp_1b --scale paper --device a100-80gb --processes 8 --price 2  |  "
    "aptp-bench plan --method aptp --dataset coco --scale paper --set finetune.precision=bfloat16  |  aptp-bench plan mini/coco_0.5"
)


def plan(
    name: Annotated[
        str | None,
        typer.Argument(metavar="SUITE", help="A YAML file or a shipped suite; or name a run: --method, --dataset."),
    ] = None,
    scale: Annotated[
        str | None, typer.Option(help="mini, smoke or paper; default: the suite's own, else mini.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="How to prune: see aptp-bench methods.")] = None,
    dataset: Annotated[str | None, typer.Option(help="What to train and measure on: see aptp-bench datasets.")] = None,
    model: Annotated[str | None, typer.Option(help="The model; default: the scale's. See: aptp-bench models.")] = None,
    budget: Annotated[float | None, typer.Option(help="Share of the dense MACs to keep, e.g. 0.78.")] = None,
    macs: Annotated[str | None, typer.Option(help="How the budget's MACs are counted: exact, aptp or modules.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only the suite's row of this label; repeatable.")] = None,
    settings: Annotated[
        list[str] | None, set_option("key=value, any setting; of a suite: METHOD.key=value too.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="A100, a100-40gb, H100, H200, 'RTX 3090' or here (this processor); default: A100, in small worlds here."
        ),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Devices, with a process each.")] = 1,
    memory: Annotated[float | None, typer.Option(min=0, help="GiB of a device; default: the table's.")] = None,
    efficiency: Annotated[
        float | None, typer.Option(help="Share of the roofline bound that is reached; default: as measured, 0.4.")
    ] = None,
    price: Annotated[float | None, typer.Option(min=0, help="Of a device for an hour, in any currency.")] = None,
    runs_dir: Annotated[Path, typer.Option(help="Where stages will be kept: is there room?")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """What a suite or a run will take: time, memory, disk and money by stage. Reads no data, no weights, no GPU.

    Warns where memory does not fit the device, and says which setting makes it fit.
    """
    from aptp_bench.planning.machine import EFFICIENCY, Machine
    from aptp_bench.planning.plan import plan as planned

    flags = {"model": model, "budget": budget, "macs": macs}
    if name and (method or dataset or any(value is not None for value in flags.values())):
        raise ConfigError(
            f"suite {name} says its rows' methods, data and budgets; leave these options out, or the suite"
        )
    title, runs = _suite(name, scale, only, settings) if name else _run(method, dataset, scale, flags, settings)
    usual = "A100" if runs[0][1].scale == "paper" else "here"
    machine = Machine.of(device or usual, processes, EFFICIENCY if efficiency is None else efficiency, memory)
    found = planned(title, runs, machine, runs_dir, price, suite=bool(name))
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        from aptp_bench.cli.plan_view import show

        show(found)


def _suite(
    name: str, scale: str | None, only: list[str] | None, settings: list[str] | None
) -> tuple[str, list[tuple[str, Recipe]]]:
    """A suite's title, and its runs by their labels."""
    from aptp_bench.harness.rows import chosen
    from aptp_bench.harness.suite import Suite

    asked = Suite.load(name, scale)
    runs = chosen(asked.runs(settings or ()), only or [], asked.left_out)
    if not runs:
        raise ConfigError(f"no row of '{asked.title}' can be run at scale {asked.scale}; see aptp-bench tables")
    several = len(asked.seeds) > 1
    return asked.title, [(run.name if several else run.label, run.recipe) for run in runs]


def _run(
    method: str | None, dataset: str | None, scale: str | None, flags: dict[str, Any], settings: list[str] | None
) -> tuple[str, list[tuple[str, Recipe]]]:
    """A run's title, and its recipes by their methods, that of the reference first."""
    from aptp_bench.harness import session

    if method is None or dataset is None:
        raise ConfigError("name a suite, such as aptp_1b, or a run: --method aptp --dataset coco")
    recipes = session.resolved(method, dataset, scale or "mini", settings or [], flags, True)
    return recipes[-1].name, [(recipe.method, recipe) for recipe in recipes]
