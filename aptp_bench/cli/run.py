"""aptp-bench run"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aptp_bench.cli.options import Device, Json, Keep, Refresh, ResultsDir, Track, Verify, print_json, set_option

if TYPE_CHECKING:
    from aptp_bench.core.recipe import Recipe
    from aptp_bench.records import Record

EPILOG = (
    "Examples: aptp-bench run --method aptp --dataset coco  |  aptp-bench run --method aptp --dataset coco "
    "--budget 0.64 --macs aptp --set experts=4  |  a run that was stopped goes on with the same command"
)


def run(
    method: Annotated[str, typer.Option(help="How to prune: see aptp-bench methods.")],
    dataset: Annotated[str, typer.Option(help="What to train and measure on: see aptp-bench datasets.")],
    scale: Annotated[
        str, typer.Option(help="mini (minutes on a laptop), smoke (a minute), paper (SD 2.1 and the real data).")
    ] = "mini",
    model: Annotated[
        str | None,
        typer.Option(help="The model, or a scale for its model; default: the scale's. See: aptp-bench models."),
    ] = None,
    budget: Annotated[float | None, typer.Option(help="Share of the dense MACs to keep, e.g. 0.78.")] = None,
    macs: Annotated[str | None, typer.Option(help="How the budget's MACs are counted: exact, aptp or modules.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of pruning, fine-tuning and noise.")] = None,
    weights: Annotated[str | None, typer.Option(help="The teacher's: a folder, a hub id, or random.")] = None,
    settings: Annotated[list[str] | None, set_option("key=value, any setting; --dry-run shows them.")] = None,
    as_: Annotated[
        str | None,
        typer.Option(
            "--as", help="paper: the method's own paper where it differs from what is equal for all; authors."
        ),
    ] = None,
    device: Device = "auto",
    runs_dir: Annotated[Path, typer.Option(help="Where stages are kept.")] = Path("runs"),
    results_dir: ResultsDir = None,
    reference: Annotated[
        bool, typer.Option("--reference/--no-reference", help="Make the dense reference row too.")
    ] = True,
    refresh: Refresh = False,
    verify: Verify = False,
    keep: Keep = "all",
    track: Track = None,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Leave a page of the run in its folder: report.html.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the resolved recipe and the stages, and stop.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Prune, fine-tune, generate and measure; ends with a table. The record and a report are in the run's folder.

    Run again to go on where it stopped.
    """
    from aptp_bench.cli.report import left_beside
    from aptp_bench.core.files import check_writable
    from aptp_bench.harness import session
    from aptp_bench.harness.run_folder import place

    flags = {"model": model, "budget": budget, "macs": macs, "seed": seed, "weights": weights}
    own = [f"as={as_}"] if as_ else []
    recipes = session.resolved(method, dataset, scale, [*own, *(settings or [])], flags, reference)
    check_writable(runs_dir, "--runs-dir")
    if results_dir is not None:
        check_writable(results_dir / "records", "--results-dir")
    if dry_run:
        _show_plan(recipes, runs_dir, refresh, as_json)
        return
    store = session.open_store(runs_dir, refresh=refresh, verify=verify, keep=keep, tracker=track)
    made = session.carry_out(recipes, store, device)
    if store.ranks.first:
        paths = [session.publish(record, store, results_dir) for record in made] if results_dir else []
        folders = [place(record, runs_dir) for record in made]
        page = left_beside(folders[-1], store.progress) if report else None
        if as_json:
            _print(made, folders, paths, page)
        else:
            _show(made, folders, paths, page)


def _print(made: list[Record], folders: list[Path], paths: list[Path], page: Path | None) -> None:
    places = {"files": [str(path) for path in paths], "runs": [str(folder) for folder in folders]}
    records = [record.model_dump(mode="json") for record in made]
    print_json({"records": records, **places, "report": page and str(page)})


def _show(made: list[Record], folders: list[Path], paths: list[Path], page: Path | None) -> None:
    from aptp_bench.cli.view import show_comparison

    show_comparison(made)
    for path in paths:
        typer.echo(f"record: {path}")
    for folder in folders:
        typer.echo(f"run: {folder}")
    if page is not None:
        typer.echo(f"report: {page}")
    typer.echo(f"next: aptp-bench report {shlex.quote(str(folders[-1]))}{' --out page.html' if page else ''}")
    if len(folders) == 2:
        typer.echo(f"next: aptp-bench compare {shlex.join(map(str, reversed(folders)))}")
    if not paths:
        typer.echo(f"next: aptp-bench submit {shlex.join(map(str, folders))}")


def _show_plan(recipes: list[Recipe], runs_dir: Path, refresh: bool, as_json: bool) -> None:
    from aptp_bench.cli.view import show_plan
    from aptp_bench.harness.plans import Planned, planned
    from aptp_bench.harness.readiness import needs

    recipe = recipes[-1]
    lacking = [need for need in needs(recipe) if need.lacks]
    plan = {each.method: planned(each, runs_dir) for each in recipes}
    if refresh:
        plan = {method: [Planned(stage.name) for stage in each] for method, each in plan.items()}
    if as_json:
        rows = {
            method: [
                {"stage": s.name, "folder": s.folder and str(s.folder), "done": s.seconds is not None} for s in each
            ]
            for method, each in plan.items()
        }
        print_json(
            {
                "recipe": recipe.model_dump(mode="json"),
                "command": recipe.command,
                "stages": rows,
                "lacking": [need._asdict() for need in lacking],
            }
        )
    else:
        show_plan(recipe, plan)
        for need in lacking:
            why = str(need.lacks).partition("; ")[0]
            typer.echo(f"{'stops the run' if need.stops else 'will not be measured'}: {need.what}: {why}")
        if lacking:
            typer.echo("what fixes it: aptp-bench doctor with the same options")
