"""aptp-bench leaderboard"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

EPILOG = (
    "Writes leaderboard.md, leaderboard.html and figures/pareto-*.svg in the results folder, and the block between "
    "<!-- leaderboard --> and <!-- /leaderboard --> in the README. Exit code of --check: 0 if all is as the records give it, else 2."
)


def leaderboard(
    results_dir: Annotated[Path, typer.Option(help="Where the records are, and where the leaderboard goes.")] = Path(
        "results"
    ),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail if a file is not as records give it.")
    ] = False,
    readme: Annotated[
        Path | None, typer.Option(help="Whose block to fill; default: README.md beside the results, if it has one.")
    ] = None,
) -> None:
    """Rank what was recorded: one page, one Markdown file, figures and the README's block."""
    from aptp_bench.errors import ConfigError
    from aptp_bench.reporting.pages.leaderboard_files import Publication

    made = Publication.of(results_dir, readme)
    if not check:
        for reason in made.malformed.values():
            typer.echo(f"left out: {reason}", err=True)
        for path in made.write():
            typer.echo(f"{'written' if path.exists() else 'removed'}: {path}")
        typer.echo(f"{len(made.boards)} boards from {len(made.found)} records: {results_dir / 'leaderboard.html'}")
        return
    if made.malformed:
        raise ConfigError("; ".join(made.malformed.values()))
    if wrong := made.differences():
        words = ["aptp-bench", "leaderboard"]
        words += ["--results-dir", str(results_dir)] if results_dir != Path("results") else []
        words += ["--readme", str(readme)] if readme is not None else []
        raise ConfigError(f"{'; '.join(wrong)}; fix it: {shlex.join(words)}")
    typer.echo(f"{results_dir} is what {len(made.found)} records give: {len(made.boards)} boards")
