"""aptp-bench route"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aptp_bench.cli.options import STDIN, Json, asked_for, print_json, say
from aptp_bench.errors import ConfigError

if TYPE_CHECKING:
    from aptp_bench.records import Record
    from aptp_bench.serving.routing import Routes

EPILOG = (
    "Examples: aptp-bench route --run runs/aptp-coco-0.78exact-seed0-mini --prompts prompts.txt --out routes.csv  |  "
    'echo "a red car" | aptp-bench route --run RUN --prompts -'
)


def route(
    run: Annotated[
        Path, typer.Option(help="A run's folder (the line `run:` that a run ends with), or a saved pipeline.")
    ],
    prompt: Annotated[list[str] | None, typer.Option(help="A prompt; may be given again.")] = None,
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", "--captions", metavar="FILE", help="A text file, a prompt a line; - is stdin."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the prompts' rows to this CSV, not on the screen.")] = None,
    top: Annotated[int, typer.Option(min=1, help="Words that are named for each expert.")] = 5,
    encoder: Annotated[
        str | None, typer.Option(help="Where the run's prompt encoder lies now: a folder or a hub id.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say which expert each prompt goes to and what that costs, and which words the prompts of an expert share."""
    from aptp_bench.core import threads
    from aptp_bench.core.progress import reporter
    from aptp_bench.models.weights import quiet
    from aptp_bench.serving.routing import routed, router_of, write_csv

    asked = asked_for(prompt or [], prompts)
    _check(out, run, prompts)
    mixture, size, record = _opened(run)
    threads.use_threads()
    with quiet():
        routes = routed(router_of(mixture, encoder), asked, size, reporter(), record)
    if out is not None:
        write_csv(routes, out)
    if as_json:
        means = {f"macs_{name}": routes.mean(name) for name in routes.conventions}
        of = {"run": record.name if record else str(run), "world": record.world if record else None}
        found = {**of, "prompts": len(routes.prompts), "mean": means}
        rows = list(routes.rows()) if out is None else None
        print_json({**found, "experts": routes.experts_table(top), "routes": rows})
    else:
        _show(routes, run, top, out)


def _opened(folder: Path) -> tuple[Path, int, Record | None]:
    """Of a run or a saved pipeline the mixture, how many experts it has, and the record. Raises ConfigError if it is neither."""
    from aptp_bench.harness.run_folder import MIXTURE, RunFolder
    from aptp_bench.models.mixture import saved_size

    if (folder / "model_index.json").is_file():  # as diffusers calls it
        return folder / MIXTURE, saved_size(folder / MIXTURE), None
    run = RunFolder.load(folder)
    return run.mixture, len(run.record.experts), run.record


def _check(out: Path | None, run: Path, prompts: Path | None) -> None:
    from aptp_bench.core.files import check_no_input, check_regular, check_writable

    if out is not None:
        if out.is_dir():
            raise ConfigError(f"{out} is a folder; name a file, such as --out {out / 'routes.csv'}")
        check_no_input(out, "--out", run, *([] if prompts in (None, STDIN) else [prompts]))
        check_regular(out)
        check_writable(out.absolute().parent, "--out")


def _show(routes: Routes, run: Path, top: int, out: Path | None) -> None:
    from aptp_bench.cli.view import line, plain_table, titled, wide_console

    if out is None:
        for row in routes.rows():
            cost = "".join(f", {row[f'macs_{name}']:.3f} of the MACs" for name in routes.conventions[:1])
            say(f"expert {row['expert']}{cost}: {row['prompt']}")
    console, ratios = wide_console(), [f"MACs {name} / dense" for name in routes.conventions]
    table = plain_table(["expert", *ratios, "prompts", "share", "words"])
    for row in routes.experts_table(top):
        ratios = [f"{row[f'macs_{name}']:.3f}" for name in routes.conventions]
        words = ", ".join(row["words"]) or "–"
        table.add_row(str(row["expert"]), *ratios, f"{row['prompts']:,}", f"{row['share']:.1%}", words)
    record = routes.record
    titled(console, f"{len(routes.prompts):,} prompts through {record.name if record else run}", table)
    if record is None:
        line(console, f"what its experts cost: aptp-bench profile --model MODEL --mixture {run / 'mixture'}")
    else:
        _show_costs(routes, record)
    if out is not None:
        say(f"routes: {out}")


def _show_costs(routes: Routes, record: Record) -> None:
    from aptp_bench.cli.view import line, wide_console, world

    console = wide_console()
    means = ", ".join(f"{routes.mean(name):.4f} ({name})" for name in routes.conventions)
    line(console, f"mean MACs of these prompts, share of dense: {means}")
    if routes.size == 1:
        line(console, f"{record.what.method} has one expert: every prompt goes to it")
    line(console, world(record))
