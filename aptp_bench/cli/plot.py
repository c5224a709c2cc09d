"""aptp-bench plot"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aptp_bench.cli.options import ImageKinds, image_kinds, records_in, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "figures"
EPILOG = (
    "Examples: aptp-bench plot runs/aptp-coco-0.78exact-seed0-mini --only search  |  "
    "aptp-bench plot --results-dir results --format png"
)


def plot(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A run's folder; without one, all records are plotted.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help=f"Folder of the figures; default: {FOLDER} in the run's folder, or here.")
    ] = None,
    kinds: ImageKinds = "svg,png",
    only: Annotated[
        list[str] | None, typer.Option(help="Only figures of this name, or that have it as a part; may be given again.")
    ] = None,
    results_dir: Annotated[Path, typer.Option(help="Where the records are.")] = Path("results"),
) -> None:
    """Draw a run's figures, those of its report; without a run, quality against cost over all records."""
    from aptp_bench.core.files import check_writable
    from aptp_bench.errors import FigureError
    from aptp_bench.reporting.figures import style

    formats = image_kinds(kinds)
    folder = out or (Path(FOLDER) if run is None else run / FOLDER)
    check_writable(folder, "--out")
    drawn = 0
    for name, figure in _of_run(run, only or []) if run is not None else _of_records(results_dir, only or []):
        folder.mkdir(parents=True, exist_ok=True)
        for each in formats:
            style.save(figure, folder / f"{name}.{each}")
            typer.echo(str(folder / f"{name}.{each}"))
        drawn += 1
    if not drawn:
        raise FigureError("there is nothing to draw; see above, or ask for other figures with --only")


def _of_run(run: Path, only: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """The figures of a run by name; what cannot be drawn is said on stderr."""
    from aptp_bench.core import threads
    from aptp_bench.core.progress import reporter
    from aptp_bench.models.weights import quiet
    from aptp_bench.reporting.figures import samples
    from aptp_bench.reporting.figures.facts import facts_of
    from aptp_bench.reporting.figures.of_run import SAMPLES, figures, names_of, sample_panels

    names, facts = names_of(only), facts_of(run)
    threads.use_threads()
    with quiet():
        found, left_out = figures(facts, reporter(), [name for name in names if name != SAMPLES])
    yield from found.items()
    panels, why = sample_panels(facts) if SAMPLES in names else ([], {})
    for panel in panels:
        yield f"{SAMPLES}-{panel.name}", samples.figure(panel, facts.title(panel.title))
    for note in dict.fromkeys(panel.note for panel in panels if panel.note):
        typer.echo(note, err=True)
    for name, reason in {**left_out, **why}.items():
        say(f"left out: {name}: {reason}", err=True)


def _of_records(results_dir: Path, only: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Quality against cost over records: a figure for each group, metric and cost."""
    from aptp_bench.errors import ConfigError
    from aptp_bench.harness.replicates import of_all
    from aptp_bench.records import FOLDER as RECORDS
    from aptp_bench.reporting.figures.pareto import draw
    from aptp_bench.reporting.figures.standings import draw as draw_standings
    from aptp_bench.reporting.ranking.boards import boards
    from aptp_bench.reporting.ranking.selection import standings, tradeoffs

    found = records_in(results_dir)
    if not found:
        place = results_dir / RECORDS
        raise ConfigError(f"{place} holds no record; run one: aptp-bench run --method … --dataset …")
    made = boards(found.values(), of_all(found))
    for name, shown in tradeoffs(made):
        if not only or set(only) & {name, *name.split("-")}:
            yield name, draw(shown)
    for name, pairs in standings(made):
        if not only or set(only) & {name, *name.split("-")}:
            yield name, draw_standings(pairs)
