"""aptp-bench report"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aptp_bench.core.files import write_text

FILE = "report.html"
EPILOG = "Example: aptp-bench report runs/aptp-coco-0.78exact-seed0-mini"


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder (the line `run:` that a run ends with).")],
    out: Annotated[Path | None, typer.Option(help=f"The page; default: {FILE} in the run's folder.")] = None,
) -> None:
    """Put a run on one page that needs nothing else: results, figures, words, images and how to get it again."""
    from aptp_bench.core import threads
    from aptp_bench.core.files import check_writable
    from aptp_bench.core.progress import reporter
    from aptp_bench.errors import ConfigError
    from aptp_bench.models.weights import quiet
    from aptp_bench.reporting.figures.facts import facts_of
    from aptp_bench.reporting.pages.report import report as made

    facts = facts_of(run)
    place = out or run / FILE
    if place.is_dir():
        raise ConfigError(f"{place} is a folder; name a file, such as --out {place / FILE}")
    check_writable(place.parent, "--out")
    threads.use_threads()
    with quiet():
        page, left_out = made(facts, reporter())
    write_text(place, page)
    for name, reason in left_out.items():
        typer.echo(f"left out: {name}: {reason}", err=True)
    typer.echo(f"report: {place}")
