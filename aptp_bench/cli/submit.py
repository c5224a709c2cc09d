"""aptp-bench submit"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EPILOG = (
    "Examples: aptp-bench submit runs/aptp-coco-0.78exact-seed0-mini  |  aptp-bench submit RUN RUN --results-dir mine. "
    "Then aptp-bench leaderboard ranks what was submitted."
)


def submit(
    run: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders that aptp-bench run or suite left.")],
    results_dir: Annotated[Path, typer.Option(help="The leaderboard's results.")] = Path("results"),
) -> None:
    """Put finished runs on a leaderboard: their records and their samples go to its results."""
    from aptp_bench.core.files import check_writable
    from aptp_bench.harness.run_folder import RunFolder, publish

    found = [RunFolder.load(folder) for folder in run]  # all are read, and refused, before the first is written
    check_writable(results_dir / "records", "--results-dir")
    for each in found:
        if each.record.how.dirty:
            typer.echo(
                f"note: {each.folder} was measured with uncommitted changes; the leaderboard lists it apart", err=True
            )
        typer.echo(f"record: {publish(each, results_dir)}")
