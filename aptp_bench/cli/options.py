"""Options that several commands share, worded once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …; auto takes a GPU if there is one.")]
ResultsDir = Annotated[
    Path | None,
    typer.Option(
        help="Save the records here too, as aptp-bench submit does; default: only in the folders of the runs."
    ),
]


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
