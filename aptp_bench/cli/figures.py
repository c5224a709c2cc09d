"""aptp-bench figures"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from aptp_bench.cli.options import ImageKinds, image_kinds, note_no_records, print_json, records_in

if TYPE_CHECKING:
    from aptp_bench.core.recipe import World
    from aptp_bench.reporting.paper_figures.shelf import Shelf

EPILOG = (
    "Examples: aptp-bench figures  |  aptp-bench figures aptp_5  |  aptp-bench figures ld_pruner_9 --format png --out drawn  |  "
    "a figure whose data is missing says which suite makes it"
)


def figures(
    id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Such as aptp_5; without one: what there is.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the figure.")] = Path("figures"),
    kinds: ImageKinds = "png,svg",
    scale: Annotated[str, typer.Option(help="Of which world: mini, smoke or paper.")] = "mini",
    runs_dir: Annotated[Path, typer.Option(help="Where the runs are.")] = Path("runs"),
    results_dir: Annotated[Path, typer.Option(help="Where the submitted records are.")] = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the list, or what the figure shows, as JSON.")] = False,
) -> None:
    """The figures of the papers from our runs and records; without an ID, what can be made now and what it needs."""
    if id is None:
        _list(_world(scale), (runs_dir, results_dir), as_json)
    else:
        _draw(id, _world(scale), (runs_dir, results_dir), (out, image_kinds(kinds)), as_json)


def _world(scale: str) -> World:
    from aptp_bench.config import SCALES
    from aptp_bench.errors import ConfigError

    if scale not in SCALES:
        raise ConfigError(f"unknown scale '{scale}'; use --scale with one of {', '.join(SCALES)}")
    return cast("World", scale)


def _shelf(runs_dir: Path, results_dir: Path) -> Shelf:
    """All that can be read; what cannot is named on stderr."""
    from aptp_bench.reporting.paper_figures.shelf import Shelf

    return Shelf.read(records_in(results_dir).values(), runs_dir, lambda line: typer.echo(line, err=True))


def _list(world: World, folders: tuple[Path, Path], as_json: bool) -> None:
    from aptp_bench.cli.listing_view import show_statuses
    from aptp_bench.reporting.paper_figures.status import statuses

    found = statuses(_shelf(*folders), world)
    if as_json:
        print_json({"world": world, "items": [each.model_dump() for each in found]})
    else:
        show_statuses(found, world)
        note_no_records(folders[1])


def _draw(id: str, world: World, folders: tuple[Path, Path], to: tuple[Path, list[str]], as_json: bool) -> None:
    from aptp_bench.core import threads
    from aptp_bench.core.files import check_writable
    from aptp_bench.models.weights import quiet
    from aptp_bench.reporting.paper_figures import drawn
    from aptp_bench.reporting.paper_figures.catalog import PaperFigure
    from aptp_bench.reporting.paper_figures.makers import draw
    from aptp_bench.reporting.paper_figures.stock import stocked

    asked, (out, kinds) = PaperFigure.get(id), to
    check_writable(out, "--out")
    stock = stocked(asked, _shelf(*folders), world)
    threads.use_threads()
    with quiet():
        made = draw(stock)
    name = asked.id if world == "mini" else f"{asked.id}-{world}"
    files = [str(drawn.write(made, out / f"{name}.{kind}")) for kind in kinds]
    if as_json:
        print_json({**made.data, "world": world, "about": asked.about, "files": files})
    else:
        typer.echo("\n".join(files))
