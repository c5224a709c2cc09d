"""aptp-bench report"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aptp_bench.cli.options import say

if TYPE_CHECKING:
    from aptp_bench.core.progress import Progress

FILE = "report.html"
EPILOG = "Example: aptp-bench report runs/aptp-coco-0.78exact-seed0-mini"


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder (the line `run:` that a run ends with).")],
    out: Annotated[Path | None, typer.Option(help=f"The page; default: {FILE} in the run's folder.")] = None,
) -> None:
    """Put a run on one page that needs nothing else: results, figures, words, images and how to get it again."""
    from aptp_bench.core import threads
    from aptp_bench.core.files import check_no_input, check_writable
    from aptp_bench.core.progress import reporter
    from aptp_bench.errors import ConfigError

    place = out or run / FILE
    if place.is_dir():
        raise ConfigError(f"{place} is a folder; name a file, such as --out {place / FILE}")
    check_no_input(place, "--out", run, ours=FILE)
    check_writable(place.parent, "--out")
    threads.use_threads()
    for name, reason in _write(run, place, reporter()).items():
        say(f"left out: {name}: {reason}", err=True)
    say(f"report: {place}")


def left_beside(run: Path, progress: Progress) -> Path | None:
    """The page in a run's own folder; None, and a line on stderr, where it cannot be made: the run is whole without it."""
    from aptp_bench.errors import AptpBenchError

    try:
        _write(run, run / FILE, progress)
    except AptpBenchError as err:
        say(f"no report: {err}", err=True)
        return None
    return run / FILE


def _write(run: Path, place: Path, progress: Progress) -> dict[str, str]:
    """Why figures are left out of the page, by name."""
    from aptp_bench.core.files import write_text
    from aptp_bench.models.weights import quiet
    from aptp_bench.reporting.figures.facts import facts_of
    from aptp_bench.reporting.pages.report import report as made

    facts = facts_of(run)
    with quiet():
        page, left_out = made(facts, progress)
    write_text(place, page)
    return dict(left_out)
