"""The command line. Commands parse, call one function and print; whatever is heavy is imported inside them."""

from __future__ import annotations

import gc
import io
import sys
from types import ModuleType
from typing import Annotated

import typer

from aptp_bench import __version__
from aptp_bench.cli import (
    check,
    compare,
    doctor,
    evaluate,
    figures,
    generate,
    leaderboard,
    listings,
    plan,
    plot,
    profile,
    report,
    route,
    run,
    submit,
    suite,
    tables,
)
from aptp_bench.cli.failures import outcome
from aptp_bench.core.distributed import leave

GARBAGE = 50_000  # new objects before Python looks for circles among them: of 700, its default, a listing makes hundreds of times as many

app = typer.Typer(
    name="aptp-bench",
    help="Prune, fine-tune, sample and measure text-to-image diffusion models: every method through the same harness.",
    epilog="Begin with: aptp-bench run --method aptp --dataset coco --scale smoke",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _add(*modules: ModuleType) -> None:
    """The command of each module: the function of its name."""
    for module in modules:
        app.command(epilog=module.EPILOG)(getattr(module, module.__name__.rpartition(".")[2]))


_add(run, suite, plan, submit, report, compare, plot, tables, figures, leaderboard, generate, route, profile, evaluate)
listings.register(app)
_add(check, doctor)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"aptp-bench {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool | None, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = None,
) -> None:
    """Prune, fine-tune, sample and measure text-to-image diffusion models: every method through the same harness."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """The console script. A letter that the terminal's encoding lacks is written as "?", and never ends a run."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    gc.set_threshold(GARBAGE)
    code = outcome(lambda: app(standalone_mode=False))
    if code == 0:
        leave()
    gc.freeze()  # what is left goes with the process: not looked through once more
    sys.exit(code)
