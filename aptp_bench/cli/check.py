"""aptp-bench check"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from aptp_bench.cli.options import Json, print_json, set_option

EPILOG = "Exit code 0: every promise is kept; 1: one is broken."


def check(
    method: Annotated[str, typer.Argument(help="A registered method: see aptp-bench methods.")],
    settings: Annotated[list[str] | None, set_option("key=value, one of the method's options.")] = None,
    as_json: Json = False,
) -> None:
    """Try what every method must keep to, on a small network with random weights: for authors of methods."""
    from dataclasses import asdict

    from aptp_bench import config
    from aptp_bench.cli.view import show_verdicts
    from aptp_bench.evaluation import conformance
    from aptp_bench.models.weights import quiet

    chosen = config.options(method, settings or [])
    with quiet(), tempfile.TemporaryDirectory() as root:
        verdicts = list(conformance.check(method, Path(root), **chosen))
    if as_json:
        print_json({"method": method, "promises": [asdict(verdict) for verdict in verdicts]})
    else:
        show_verdicts(method, verdicts)
    raise typer.Exit(0 if all(verdict.kept for verdict in verdicts) else 1)
