"""The commands. They parse, call one function and print; whatever is heavy is imported inside them."""

from __future__ import annotations

from types import ModuleType
from typing import Annotated, Any

import typer
import typer.core

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
from aptp_bench.cli.failures import GONE, somewhere
from aptp_bench.errors import ConfigError, StoreError


class Commands(typer.core.TyperGroup):
    """All of them; what is empty on the command line is refused before any is chosen."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raises ConfigError for an empty word, such as a shell's variable without a value: as a path it is this folder."""
        for before, word in zip(["", *args], args, strict=False):
            if not word.strip() or (word.startswith("--") and word.endswith("=")):
                place = word.strip() or (before if before.startswith("-") else "an argument")
                raise ConfigError(f"{place} is empty; give it a value, or leave it out")
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=Commands,
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
    elif not somewhere():  # said first: libraries of torch end the process there
        raise StoreError(GONE)
