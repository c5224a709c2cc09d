"""aptp-bench suite"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aptp_bench.cli.options import Device, Json, ResultsDir, print_json

if TYPE_CHECKING:
    from aptp_bench.config import Recipe
    from aptp_bench.core.store import Store
    from aptp_bench.harness.suite import Outcome, Run, Suite
    from aptp_bench.records import Record

EPILOG = (
    "Examples: aptp-bench suite aptp_1b  |  aptp-bench suite aptp_3 --scale paper --only Uni-Arch  |  "
    "aptp-bench suite mini/alignment  |  a suite that was stopped goes on with the same command"
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(suite)


def suite(
    name: Annotated[str, typer.Argument(metavar="FILE", help="A YAML file, or a shipped suite such as aptp_1b.")],
    scale: Annotated[
        str | None, typer.Option(help="mini, smoke or paper, where the suite serves all; default: its own, else mini.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only the row of this label; may be given again.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value for every row, over what the suite says.")
    ] = None,
    device: Device = "auto",
    runs_dir: Annotated[Path, typer.Option(help="Where stages are kept.")] = Path("runs"),
    results_dir: ResultsDir = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the rows and their commands, and stop.")] = False,
    as_json: Json = False,
) -> None:
    """Run the rows of a table, whatever can be run; ends with the table and names what failed."""
    from aptp_bench.core.store import check_writable
    from aptp_bench.harness.suite import Suite

    asked = Suite.load(name, scale)
    runs = _chosen(asked, asked.runs(settings or ()), only or [])
    check_writable(runs_dir, "--runs-dir")
    if results_dir is not None:
        check_writable(results_dir / "records", "--results-dir")
    if dry_run:
        _show_plan(asked, runs, as_json)
    else:
        _run(asked, runs, (runs_dir, results_dir), device, as_json)


def _chosen(asked: Suite, runs: list[Run], only: list[str]) -> list[Run]:
    """The runs of the rows that are asked for. Raises ConfigError where there is none."""
    from aptp_bench.errors import ConfigError

    known = dict.fromkeys(run.label for run in runs)
    for label in only:
        if label not in known:
            why = f": {asked.left_out[label]}" if label in asked.left_out else ""
            raise ConfigError(
                f"the suite has no row '{label}' that can be run{why}; use --only with one of: {', '.join(known)}"
            )
    if not runs:
        why = next(iter(asked.left_out.values()))
        raise ConfigError(f"no row of '{asked.title}' can be run at scale {asked.scale}: {why}; see aptp-bench tables")
    return [run for run in runs if not only or run.label in only]


def _run(asked: Suite, runs: list[Run], folders: tuple[Path, Path | None], device: str, as_json: bool) -> None:
    from aptp_bench.cli.run import open_store
    from aptp_bench.core import provenance
    from aptp_bench.core.allocator import keep_freed_memory
    from aptp_bench.errors import SuiteError
    from aptp_bench.harness.suite import run_all
    from aptp_bench.models.weights import quiet

    provenance.use_threads()
    keep_freed_memory()
    runs_dir, results_dir = folders
    store = open_store(runs_dir)
    with quiet():
        outcome = run_all(runs, _carrier(store, device, results_dir), store.progress.say, runs_dir)
    if store.ranks.first:
        _show(asked, outcome, as_json)
    if outcome.failures:
        raise SuiteError(f"{len(outcome.failures)} of {len(runs)} runs failed: {'; '.join(_lines(outcome))}")


def _carrier(store: Store, device: str, results_dir: Path | None) -> Callable[[Recipe], Record]:
    """Carries out a recipe and saves its record; materials are loaded once for all recipes that share them."""
    from aptp_bench.core import provenance
    from aptp_bench.harness import run_folder as runs
    from aptp_bench.harness.inputs import Materials
    from aptp_bench.harness.run import run
    from aptp_bench.harness.suite import shared_key

    held: dict[str, Materials] = {}

    def carry_out(recipe: Recipe) -> Record:
        key = shared_key(recipe)
        if key not in held:
            held.clear()  # two teachers at once may not fit
            held[key] = Materials.of(recipe, provenance.device(device))
        record = run(recipe, held[key], store)
        if store.ranks.first and results_dir is not None:
            runs.publish(runs.RunFolder.load(runs.place(record, store.root)), results_dir)
        return record

    return carry_out


def _show(asked: Suite, outcome: Outcome, as_json: bool) -> None:
    from aptp_bench.cli.view import show_suite

    if as_json:
        found: dict[str, Any] = {
            label: [record.model_dump(mode="json") for record in records] for label, records in outcome.records.items()
        }
        print_json({"title": asked.title, "records": found, "failures": outcome.failures})
    elif outcome.records:
        show_suite(asked.title, outcome.records)


def _lines(outcome: Outcome) -> list[str]:
    return [f"{name}: {reason}" for name, reason in outcome.failures.items()]


def _show_plan(asked: Suite, runs: list[Run], as_json: bool) -> None:
    if as_json:
        rows = [{"label": run.label, "seed": run.seed, "command": run.recipe.command} for run in runs]
        print_json({"title": asked.title, "about": asked.about, "runs": rows, "left_out": asked.left_out})
        return
    typer.echo(f"{asked.title}\n{asked.about}")
    for run in runs:
        typer.echo(f"{run.name}: {run.recipe.command} --no-reference")
    for label, why in asked.left_out.items():
        typer.echo(f"left out: {label}: {why}")
