"""aptp-bench suite"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aptp_bench.cli.options import Device, Json, Keep, Refresh, ResultsDir, Track, Verify, print_json, say, set_option
from aptp_bench.errors import ConfigError

if TYPE_CHECKING:
    from aptp_bench.core.store import Store
    from aptp_bench.harness.suite import Outcome, Run, Suite
    from aptp_bench.records import Record

EPILOG = (
    "Examples: aptp-bench suite aptp_1b  |  aptp-bench suite aptp_3 --scale paper --only Uni-Arch  |  "
    "aptp-bench suite mini/alignment  |  a suite that was stopped goes on with the same command"
)


def suite(
    name: Annotated[str, typer.Argument(metavar="FILE", help="A YAML file, or a shipped suite such as aptp_1b.")],
    scale: Annotated[
        str | None, typer.Option(help="mini, smoke or paper, where the suite serves all; default: its own, else mini.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only the row of this label; may be given again.")] = None,
    settings: Annotated[
        list[str] | None,
        set_option("key=value for every row, over what the suite says; METHOD.key=value for the rows of a method."),
    ] = None,
    device: Device = "auto",
    runs_dir: Annotated[Path, typer.Option(help="Where stages are kept.")] = Path("runs"),
    results_dir: ResultsDir = None,
    refresh: Refresh = False,
    verify: Verify = False,
    keep: Keep = "all",
    track: Track = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Carry out the runs on a Ray cluster, side by side: local for this machine, auto for the cluster that it "
            "is in, or where its head is. Needs Ray, an extra of ours, and a --runs-dir that all nodes see.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the rows and their commands, and stop.")] = False,
    as_json: Json = False,
) -> None:
    """Run the rows of a table, whatever can be run; ends with the table and names what failed."""
    from aptp_bench.core.files import check_writable
    from aptp_bench.harness import session
    from aptp_bench.harness.suite import Suite

    asked = Suite.load(name, scale)
    runs = _chosen(asked, asked.runs(settings or ()), only or [])
    check_writable(runs_dir, "--runs-dir")
    if results_dir is not None:
        check_writable(results_dir / "records", "--results-dir")
    if dry_run:
        _show_plan(asked, runs, as_json)
    else:
        if ray is not None and refresh:
            raise ConfigError("--refresh and --ray do not go together: nodes would make shared stages again and again")
        store = session.open_store(runs_dir, refresh=refresh, verify=verify, keep=keep, tracker=track)
        ended = _on_cluster(runs, store, ray, device) if ray is not None else _here(runs, store, device)
        _finish(asked, runs, ended, store, results_dir, as_json)


def _chosen(asked: Suite, runs: list[Run], only: list[str]) -> list[Run]:
    """The runs of the rows that are asked for. Raises ConfigError where there is none."""
    from aptp_bench.harness.rows import chosen

    found = chosen(runs, only, asked.left_out)
    if not found:
        why = next(iter(asked.left_out.values()))
        raise ConfigError(f"no row of '{asked.title}' can be run at scale {asked.scale}: {why}; see aptp-bench tables")
    return found


def _here(runs: list[Run], store: Store, device: str) -> Iterator[Outcome]:
    from aptp_bench.harness import session
    from aptp_bench.harness.suite import outcomes
    from aptp_bench.models.weights import quiet

    with quiet():
        yield from outcomes(runs, session.carrier(store, device), store.progress.say, store.root)


def _on_cluster(runs: list[Run], store: Store, address: str, device: str) -> Iterator[Outcome]:
    from aptp_bench.harness.cluster import Place, outcomes

    store.root.mkdir(parents=True, exist_ok=True)
    place = Place(str(Path.cwd()), str(store.root.resolve()), device, store.verify, store.tracker)
    return outcomes(runs, address, place, store.progress)


def _finish(
    asked: Suite, runs: list[Run], ended: Iterator[Outcome], store: Store, results_dir: Path | None, as_json: bool
) -> None:
    """Publish records as runs end; the table and what failed at the end of all."""
    from aptp_bench.harness import run_folder, session
    from aptp_bench.harness.rows import raise_failures
    from aptp_bench.harness.suite import gathered

    def published() -> Iterator[Outcome]:
        for run, record, why in ended:
            if record is not None and store.ranks.first and results_dir is not None:
                session.publish(record, store, results_dir)
            yield run, record, why

    records, failures = gathered(runs, published(), store.progress.say)
    run_folder.shed_untuned(chain.from_iterable(records.values()), store)
    if store.ranks.first:
        _show(asked, records, failures, as_json)
    with store.ranks.together():
        raise_failures(failures, len(runs))


def _show(asked: Suite, records: dict[str, list[Record]], failures: dict[str, str], as_json: bool) -> None:
    from aptp_bench.cli.view import show_suite

    if as_json:
        found = {label: [record.model_dump(mode="json") for record in each] for label, each in records.items()}
        print_json({"title": asked.title, "records": found, "failures": failures})
    elif records:
        show_suite(asked.title, records)


def _show_plan(asked: Suite, runs: list[Run], as_json: bool) -> None:
    if as_json:
        rows = [{"label": run.label, "seed": run.seed, "command": run.recipe.command} for run in runs]
        print_json({"title": asked.title, "about": asked.about, "runs": rows, "left_out": asked.left_out})
        return
    say(asked.title)
    say(asked.about)
    for run in runs:
        say(f"{run.name}: {run.recipe.command} --no-reference")
    for label, why in asked.left_out.items():
        say(f"left out: {label}: {why}")
