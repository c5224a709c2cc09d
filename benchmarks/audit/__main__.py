"""Run the checks behind docs/audit.md: python -m aptp_bench.benchmarks.audit [NAME …]

Seconds each, but for loading (20 minutes on one thread) and noise (10). A check that was killed goes on from its checkpoint.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from aptp_bench.benchmarks.audit.finding import Finding, Place, save
from aptp_bench.benchmarks.audit.page import CHECKS, filled
from aptp_bench.cli.failures import outcome
from aptp_bench.core.files import write_text
from aptp_bench.errors import ConfigError
from aptp_bench.models.weights import quiet


def audit(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help=f"Of {', '.join(CHECKS)}.")] = None,
    results_dir: Annotated[Path, typer.Option(help="Holds records, and findings under audit/.")] = Path("results"),
    runs_dir: Annotated[Path, typer.Option(help="Where stages are kept.")] = Path("runs"),
    scale: Annotated[str, typer.Option(help="mini, or smoke to see that everything runs.")] = "mini",
    page: Annotated[Path | None, typer.Option(help="Fill the tables of this page, such as docs/audit.md.")] = None,
    measure: Annotated[bool, typer.Option("--measure/--no-measure", help="Measure, or fill the page only.")] = True,
) -> None:
    """Measure findings, print their tables, and fill the page."""
    from aptp_bench.core import provenance, threads
    from aptp_bench.core.progress import reporter

    if unknown := [name for name in names or () if name not in CHECKS]:
        raise ConfigError(f"there is no check '{unknown[0]}'; choose from {', '.join(CHECKS)}")
    if scale not in ("mini", "smoke"):
        raise ConfigError(f"the audit runs at scale mini or smoke, not '{scale}'")
    threads.use_threads()
    command = provenance.command_line(["python", "-m", "aptp_bench.benchmarks.audit"], sys.argv[1:])
    place: Any = Place(results_dir, runs_dir, scale, reporter())  # type: ignore[arg-type]
    with quiet():
        for name in (names or CHECKS) if measure else ():
            facts = CHECKS[name].measure(place)
            typer.echo("\n".join([f"{name}: {CHECKS[name].about}", *CHECKS[name].lines(facts), ""]))
            how = provenance.provenance(command, provenance.device(), {}, {})
            save(Finding(name=name, world=place.scale, facts=facts, how=how), results_dir)
    if page is not None:
        text = page.read_text(encoding="utf-8")
        write_text(page, filled(text, list(CHECKS.values()), results_dir))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(audit)
    sys.exit(outcome(lambda: app(standalone_mode=False)))
