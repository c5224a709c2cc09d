"""aptp-bench leaderboard"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aptp_bench.cli.options import print_json, say

if TYPE_CHECKING:
    from aptp_bench.reporting.ranking.boards import Board

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
    as_json: Annotated[
        bool, typer.Option("--json", help="Write nothing; print how many pairs are told apart on each board.")
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
            say(f"left out: {reason}", err=True)
    if as_json:
        print_json({"boards": [_counts(board) for board in made.boards if board.pairs]})
    elif not check:
        for path in made.write():
            typer.echo(f"{'written' if path.exists() else 'removed'}: {path}")
        typer.echo(f"{len(made.boards)} boards from {len(made.found)} records: {results_dir / 'leaderboard.html'}")
    if not check:
        return
    if made.malformed:
        raise ConfigError("; ".join(made.malformed.values()))
    if wrong := made.differences():
        words = ["aptp-bench", "leaderboard"]
        words += ["--results-dir", str(results_dir)] if results_dir != Path("results") else []
        words += ["--readme", str(readme)] if readme is not None else []
        raise ConfigError(f"{'; '.join(wrong)}; fix it: {shlex.join(words)}")
    typer.echo(f"{results_dir} is what {len(made.found)} records give: {len(made.boards)} boards")


def _counts(board: Board) -> dict[str, Any]:
    """How many pairs of a board's ranked entries are told apart, and how many were compared prompt by prompt."""
    what = board.group.what
    about: dict[str, Any] = {"world": board.group.world, "dataset": what.dataset, "model": what.model}
    about |= {"budget": board.ratio, "convention": board.convention, "entries": len(board.of("main"))}
    paired = {c.metric: sum(pair.difference.n > 0 for pair in c.pairs) for c in board.contested}
    return {**about, "pairs": board.pairs, "separated": board.separated, "paired": paired}
