"""aptp-bench compare"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aptp_bench.cli.options import Json, print_json

if TYPE_CHECKING:
    from aptp_bench.reporting.comparison import Comparison
    from aptp_bench.reporting.ranking.pairs import Pair

EPILOG = (
    "Examples: aptp-bench compare runs/aptp-coco-0.5exact-seed0-mini runs/norm-coco-0.5exact-seed0-mini  |  "
    "aptp-bench compare results/records/A.json results/records/B.json --json"
)


def compare(
    one: Annotated[Path, typer.Argument(metavar="A", help="A run's folder, or a record's file.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="Another one, which is subtracted from A.")],
    prompts: Annotated[int, typer.Option(min=0, help="Prompts to show a metric: those where A and B differ most.")] = 4,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Picture of those prompts, .png or .svg; default: compare-B.png in A's folder if both are runs."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say how far two runs are apart, metric by metric, prompt by prompt, and how sure that is."""
    from aptp_bench.models.weights import quiet
    from aptp_bench.reporting.comparison import Comparison, Side

    with quiet():
        made = Comparison.of(Side.of(one), Side.of(other))
        picture = _picture(made, prompts, out)
        found = {metric: made.furthest(metric, prompts) for metric in made.pairs}
    if as_json:
        print_json(_document(made, found, picture))
    else:
        _show(made, found)
        if picture is not None:
            typer.echo(f"picture: {picture}")


def _picture(made: Comparison, prompts: int, out: Path | None) -> Path | None:
    """Where both images of the prompts are drawn; None where there are none and none were asked for."""
    from aptp_bench.core.files import check_regular, check_writable
    from aptp_bench.errors import AptpBenchError, ConfigError
    from aptp_bench.reporting.figures import samples, style
    from aptp_bench.reporting.worlds import SAID

    runs = made.one.run is not None and made.other.run is not None
    if out is None and not (runs and prompts and made.one.run):
        return None
    place = out or made.one.run.run.folder / f"compare-{made.other.name}.png"  # type: ignore[union-attr]
    if place.suffix not in (".png", ".svg") or place.is_dir():
        raise ConfigError(f"--out {place} is no picture; name a .png or .svg file")
    check_regular(place)
    check_writable(place.parent, "--out")
    try:
        panel = made.panel([metric for metric, pair in made.pairs.items() if pair.difference.n], prompts)
        if not panel.rows:
            raise ConfigError("no metric was compared prompt by prompt, so no prompt is shown")
        figure = samples.figure(panel, f"{made.one.name}\n{made.other.name}\n{SAID[made.one.record.world]}")
    except AptpBenchError as err:
        if out is not None:
            raise
        typer.echo(f"no picture: {err}", err=True)
        return None
    place.parent.mkdir(parents=True, exist_ok=True)
    style.save(figure, place)
    return place


def _document(made: Comparison, found: Any, picture: Path | None) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    for name, pair in made.pairs.items():
        first, second, difference = pair.first.of(name)[0], pair.second.of(name)[0], pair.difference
        known = difference.error < float("inf")
        metrics[name] = {"unit": first.unit, "better": first.better, "a": first.value, "b": second.value}
        metrics[name] |= {"difference": difference.value, "error": difference.error if known else None}
        metrics[name] |= {"interval": list(difference.interval) if known else None, "p": pair.p if known else None}
        metrics[name] |= {"paired": difference.n > 0, "n": difference.n or None, "why_unpaired": pair.unpaired or None}
        metrics[name] |= {"ahead": _ahead(pair), "prompts": [each.__dict__ for each in found[name]]}
    names = {"a": made.one.name, "b": made.other.name, "world": made.one.record.world}
    return {**names, "metrics": metrics, "not_compared": dict(made.apart), "picture": picture and str(picture)}


def _ahead(pair: Pair) -> str | None:
    return None if pair.order is None else "a" if pair.order[0] is pair.first else "b"


def _show(made: Comparison, found: Any) -> None:
    from aptp_bench.cli import view
    from aptp_bench.reporting.numbers import brief, span
    from aptp_bench.reporting.pages.wording import chance, pairing
    from aptp_bench.reporting.ranking.names import headed

    console, table = view.wide_console(), view.plain_table(["", "A", "B", "A − B", "95 %", "p", "ahead", "taken"])
    for name, pair in made.pairs.items():
        first, second, difference = pair.first.of(name)[0], pair.second.of(name)[0], pair.difference
        known = difference.error < float("inf")
        cells = [brief(first.value), brief(second.value), f"{difference.value:+.3g}"]
        cells += [span(difference.interval, "{:+.3g}".format) if known else "–", chance(pair) if known else "–"]
        table.add_row(headed(name, first.unit, first.better), *cells, (_ahead(pair) or "–").upper(), pairing(pair))
    view.titled(console, f"A: {made.one.name}\nB: {made.other.name}", table)
    view.line(console, view.world(made.one.record))
    view.line(console, "One seed each: intervals and p-values speak of other prompts, not of another training.")
    view.line(console, "p: two-sided, each metric by itself, not adjusted for how many there are.")
    for name, why in made.apart.items():
        view.line(console, f"not compared: {name}: {why}")
    for name, each in found.items():
        for prompt in each:
            where = f"{headed(name, '', 'neither')}, prompt {prompt.at}: {prompt.ours:.4g} and {prompt.theirs:.4g}"
            view.line(console, f"{where}{f': {prompt.caption}' if prompt.caption else ''}")
