"""aptp-bench check"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from aptp_bench.cli.options import Json, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Exit code 0: every promise is kept; 1: one is broken.")(check)


def check(
    method: Annotated[str, typer.Argument(help="A registered method: see aptp-bench methods.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value, one of the method's options.")] = None,
    as_json: Json = False,
) -> None:
    """Try what every method promises the harness on a small network with random weights: for authors of methods."""
    from dataclasses import asdict

    from aptp_bench.cli.view import show_verdicts
    from aptp_bench.evaluation import conformance
    from aptp_bench.models.weights import quiet

    chosen = _settings(method, settings or [])
    with quiet(), tempfile.TemporaryDirectory() as root:
        verdicts = list(conformance.check(method, Path(root), **chosen))
    if as_json:
        print_json({"method": method, "promises": [asdict(verdict) for verdict in verdicts]})
    else:
        show_verdicts(method, verdicts)
    raise typer.Exit(0 if all(verdict.kept for verdict in verdicts) else 1)


def _settings(method: str, lines: list[str]) -> dict[str, object]:
    from aptp_bench import config, registry

    known = [f"method_config.{key}" for key in registry.get("methods", method).Config.model_fields]
    placed = [config.parsed(line, known) for line in lines]
    return {key.removeprefix("method_config."): value for key, value in placed}
