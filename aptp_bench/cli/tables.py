"""aptp-bench tables"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aptp_bench.cli.options import note_no_records, records_in

EPILOG = (
    "Examples: aptp-bench tables aptp_1b  |  aptp-bench tables --format html --out tables.html  |  "
    "aptp-bench tables aptp_3 --format latex  |  cells that say 'not run' are filled by: aptp-bench suite aptp_3"
)


def tables(
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Such as aptp_1b; default: all.")] = None,
    format: Annotated[str, typer.Option(help="md, csv, latex or html.")] = "md",
    results_dir: Annotated[Path, typer.Option(help="Where the records are.")] = Path("results"),
    out: Annotated[Path | None, typer.Option(help="A file to write; default: print.")] = None,
    names: Annotated[bool, typer.Option("--list", help="List the tables, and stop.")] = False,
) -> None:
    """The tables of the papers: what they print, what was measured here, and what is not run yet."""
    from aptp_bench.reporting.paper_tables.prompts import prompt_lists
    from aptp_bench.reporting.paper_tables.published import PublishedTable, published

    lists = [each for each in prompt_lists().values() if id in (None, each.id)]
    asked = list(published().values()) if id is None else [] if lists else [PublishedTable.get(id)]
    if names:
        named = [*((t.id, t.name, t.title) for t in asked), *((t.id, t.name, t.title) for t in lists)]
        typer.echo("\n".join(": ".join(each) for each in named))
        return
    from aptp_bench.errors import ConfigError
    from aptp_bench.harness.replicates import of_all
    from aptp_bench.reporting.paper_tables.filled import fill_all
    from aptp_bench.reporting.paper_tables.formats import FORMATS

    if format not in FORMATS:
        raise ConfigError(f"there is no format '{format}'; use --format with one of {', '.join(FORMATS)}")
    found = records_in(results_dir)
    filled = fill_all(asked, found.values(), of_all(found))
    _show(FORMATS[format]([*filled, *(each.filled() for each in lists)]), out)
    note_no_records(results_dir)


def _show(text: str, out: Path | None) -> None:
    """Print the text as UTF-8 whatever the terminal's encoding, or write it."""
    from aptp_bench.core.files import check_writable, write_text

    if out is None:
        typer.echo(text.encode("utf-8"), nl=False)
    else:
        check_writable(out.absolute().parent, "--out")
        typer.echo(write_text(out, text))
