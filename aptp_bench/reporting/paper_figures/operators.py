"""What LD-Pruner's scores say of every operator: rank by position (Fig. 4), significance (10 to 12), what was modified (13 to 15).

Read off the pruning stage: its report, and its ledger of distances, one a prompt, from which intervals and the three
other formulas of the ablation come.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from aptp_bench.core.intervals import student
from aptp_bench.core.store import SCRATCH
from aptp_bench.errors import DataError, FigureError
from aptp_bench.harness.run_folder import RunFolder
from aptp_bench.reporting.figures.style import COLOURS, HATCHES, INK, MARKERS, PLAIN
from aptp_bench.reporting.paper_figures.drawn import Drawn, footed
from aptp_bench.reporting.paper_figures.stock import Stock, only

REPORT, LEDGERS = "report.json", "scores-*.jsonl"
FORMULAS = ("sum", "product", "average", "deviation")
STAGES = ("down_blocks", "mid_block", "up_blocks")
LAYERS = ("resnets", "attentions", "downsamplers", "upsamplers")
PLACE = re.compile(r"(down_blocks\.\d+|mid_block|up_blocks\.\d+)(?:\.(\w+)\.(\d+))?(?:\.(.+))?")
INCH = 0.062  # an operator
Row = dict[str, Any]
Distances = Mapping[str, tuple[list[float], list[float]]]  # of means and of deviations, one a prompt


def ranks(stock: Stock) -> Drawn:
    """Fig. 4: every operator by its place in the network and its rank; filled: modified."""
    return _drawn(stock, _rows(only(stock.items).runs[0]), _rank_plot)


def scores(stock: Stock) -> Drawn:
    """Figs. 10 to 12: significance of every operator, and its rank by each of the four formulas."""
    return _drawn(stock, _rows(only(stock.items).runs[0]), _score_plot)


def counts(stock: Stock) -> Drawn:
    """Figs. 13 to 15: modified operators of every block by kind, and how many candidates there are."""
    return _drawn(stock, _rows(only(stock.items).runs[0]), _count_plot)


def block_of(path: str) -> str:
    """The block of the U-Net that an operator is in: down 0, mid, up 3."""
    found = PLACE.fullmatch(path)
    return path if found is None else found[1].replace("_blocks.", " ").replace("_block", "")


def position(path: str) -> tuple[Any, ...]:
    """A key that sorts operators in the order of the work, an operator before those inside it."""
    found = PLACE.fullmatch(path)
    if found is None:
        return (len(STAGES), 0, 0, 0, path)
    stage, _, block = found[1].partition(".")
    layer = LAYERS.index(found[2]) if found[2] in LAYERS else -1
    late = layer >= LAYERS.index("downsamplers")  # samplers come after all layers of their block
    return STAGES.index(stage), int(block or 0), math.inf if late else int(found[3] or 0), layer, found[4] or ""


def _drawn(stock: Stock, rows: list[Row], plot: Any) -> Drawn:
    data = {"id": stock.figure.id, "title": stock.title_of_one, "note": stock.note, "operators": rows}
    with mpl.rc_context(PLAIN):
        return Drawn.of(footed(plot(rows), stock.title_of_one, stock.note), data)


def _rows(run: RunFolder) -> list[Row]:
    """Every candidate in the order of the work: its score with its interval, and its rank by every formula, 1 the lowest."""
    folder = run.stage("prune") / SCRATCH
    report = _read(folder / REPORT, run)
    distances = _distances(folder)
    lowest = {row["operator"]: place for place, row in enumerate(report, start=1)}
    rows = [
        {
            "operator": row["operator"],
            "kind": row["kind"],
            "block": block_of(row["operator"]),
            "score": row["score"],
            "modified": row["modified"],
            "rank": lowest[row["operator"]],
            "interval": _interval(*distances[row["operator"]]) if row["operator"] in distances else None,
        }
        for row in sorted(report, key=lambda row: position(row["operator"]))
    ]
    by_formula = {name: _ranked(rows, distances, name) for name in FORMULAS}
    return [row | {"ranks": {n: by_formula[n][row["operator"]] for n in FORMULAS if by_formula[n]}} for row in rows]


def _read(path: Path, run: RunFolder) -> list[Row]:
    """The operators of a report, the lowest score first. Raises FigureError where there is none, DataError if it is broken."""
    if not path.is_file():
        raise FigureError(f"{run.folder} keeps no scores of operators; run again: {run.record.how.command}")
    try:
        found: list[Row] = json.loads(path.read_text(encoding="utf-8"))["operators"]
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise DataError(f"{path} cannot be read; delete {path.parent.parent} and run again") from err
    return found


def _distances(folder: Path) -> Distances:
    """Operator -> (distances of means, of deviations), one a prompt; an infinite one stands for a broken network."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    rows: list[Row] = []
    for file in sorted(folder.glob(LEDGERS)):
        rows += [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()[1:]]
    for row in sorted(rows, key=lambda row: row["part"]):
        own = found.setdefault(row["operator"], ([], []))
        for values, name in zip(own, ("avg", "std"), strict=True):
            values.extend(math.inf if each is None else each for each in row[name])
    return found


def _joined(avg: Sequence[float], std: Sequence[float], formula: str) -> list[float]:
    """Eq. 7 or one of its ablations, a prompt each."""
    joins: Mapping[str, Callable[[float, float], float]] = {
        "sum": lambda a, s: a + s,
        "product": lambda a, s: a * s,
        "average": lambda a, s: a,
        "deviation": lambda a, s: s,
    }
    return list(map(joins[formula], avg, std))


def _interval(avg: Sequence[float], std: Sequence[float]) -> list[float] | None:
    """Student's 95 % interval of the mean over prompts, of the sum."""
    values = _joined(avg, std, "sum")
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    reach = student(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return [fmean(values) - reach, fmean(values) + reach]


def _ranked(rows: Sequence[Row], distances: Distances, formula: str) -> dict[str, int]:
    """Operator -> its rank by a formula; empty where distances are not kept."""
    if any(row["operator"] not in distances for row in rows):
        return {}
    value = {row["operator"]: fmean(_joined(*distances[row["operator"]], formula=formula)) for row in rows}
    value = {path: math.inf if math.isnan(each) else each for path, each in value.items()}
    return {path: place for place, path in enumerate(sorted(value, key=value.__getitem__), start=1)}


def _looks(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Colour and marker of every kind of operator."""
    kinds = sorted({row["kind"] for row in rows})
    return {
        kind: {"color": COLOURS[at % len(COLOURS)], "marker": MARKERS[(at + at // len(COLOURS)) % len(MARKERS)]}
        for at, kind in enumerate(kinds)
    }


def _width(rows: Sequence[Row]) -> float:
    return max(6.5, 2.4 + INCH * len(rows))


def _rank_plot(rows: Sequence[Row]) -> Figure:
    figure = Figure(figsize=(_width(rows), 4.4), layout="constrained")
    axes = figure.subplots()
    for kind, look in _looks(rows).items():
        for modified, size in ((False, 3.5), (True, 4.5)):
            own = [
                (at, row["rank"]) for at, row in enumerate(rows) if (row["kind"], row["modified"]) == (kind, modified)
            ]
            own_look = {**look, "markersize": size, "markerfacecolor": look["color"] if modified else "none"}
            axes.plot([x for x, _ in own], [y for _, y in own], linestyle="none", markeredgewidth=0.7, **own_look)
        axes.plot([], [], linestyle="none", markersize=4.5, label=kind, **look)
    axes.set_ylabel("rank by score, 1 the least significant")
    axes.invert_yaxis()
    _blocks(axes, rows)
    done = len([row for row in rows if row["modified"]])
    axes.plot([], [], "o", color="grey", markersize=4.5, label=f"filled: modified\n({done} of {len(rows)})")
    axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _score_plot(rows: Sequence[Row]) -> Figure:
    strip = all(row["ranks"] for row in rows)
    figure = Figure(figsize=(_width(rows), 5.0 if strip else 3.8), layout="constrained")
    panels = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1)) if strip else [figure.subplots()]
    _scores(panels[0], rows)
    if strip:
        tones = np.array([[row["ranks"][name] for row in rows] for name in FORMULAS])
        panels[1].pcolormesh(np.arange(len(rows) + 1) - 0.5, np.arange(len(FORMULAS) + 1), tones, cmap="cividis")
        panels[1].set_yticks(np.arange(len(FORMULAS)) + 0.5, FORMULAS, fontsize=7)
        panels[1].invert_yaxis()
        panels[1].set_title("rank by each formula; dark: the least significant", fontsize=8)
    for axes in panels:
        _blocks(axes, rows, named=axes is panels[-1])
    return figure


def _scores(axes: Any, rows: Sequence[Row]) -> None:
    """Scores on a logarithmic axis; what broke the network stands at the upper edge."""
    known = [row["score"] for row in rows if row["score"]]
    if not known:
        raise FigureError("no operator has a finite score above 0; score with other settings of method ld_pruner")
    top = 2 * max(known)
    for kind, look in _looks(rows).items():
        own = [(at, row) for at, row in enumerate(rows) if row["kind"] == kind]
        xs, ys = [at for at, _ in own], [row["score"] if row["score"] is not None else top for _, row in own]
        reach = [_reach(row) for _, row in own]
        axes.errorbar(
            xs,
            ys,
            yerr=list(zip(*reach, strict=True)),
            linestyle="none",
            markersize=4,
            elinewidth=0.6,
            label=kind,
            **look,
        )
    axes.set_yscale("log")
    axes.set_ylabel("significance score\n(distance of latents, no unit)")
    if any(row["score"] is None for row in rows):
        axes.axhline(top, color="grey", linewidth=0.7, linestyle=":", label="not finite: the network broke")
    prompts = " (bars: 95 % over prompts)" if any(row["interval"] for row in rows) else ""
    axes.set_title(f"every operator modified alone{prompts}", fontsize=8)
    axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.grid(axis="y", color="#dddddd", linewidth=0.5)


def _reach(row: Row) -> tuple[float, float]:
    if row["interval"] is None or row["score"] is None:
        return 0.0, 0.0
    low, high = row["interval"]
    return max(0.0, row["score"] - max(low, 1e-3 * row["score"])), max(0.0, high - row["score"])


def _count_plot(rows: Sequence[Row]) -> Figure:
    blocks = list(dict.fromkeys(row["block"] for row in rows))
    kinds = [kind for kind in _looks(rows) if any(row["modified"] for row in rows if row["kind"] == kind)]
    figure = Figure(figsize=(max(7.4, 1.8 + 0.62 * len(blocks)), 3.9), layout="constrained")  # as wide as their names
    axes, base = figure.subplots(), np.zeros(len(blocks))
    for place, kind in enumerate(kinds):
        heights = [sum(r["modified"] and (r["kind"], r["block"]) == (kind, block) for r in rows) for block in blocks]
        look: dict[str, Any] = {
            "color": COLOURS[place % len(COLOURS)],
            "hatch": HATCHES[place // len(COLOURS) % len(HATCHES)],
        }
        bars = axes.bar(blocks, heights, bottom=base, edgecolor="white", linewidth=0.4, label=kind, **look)
        axes.bar_label(
            bars,
            [str(each) if each else "" for each in heights],
            label_type="center",
            fontsize=6.5,
            color=_on(look["color"]),
        )
        base += heights
    for at, block in enumerate(blocks):
        candidates = sum(row["block"] == block for row in rows)
        axes.text(at, base[at], f"{base[at]:.0f} of {candidates}", ha="center", va="bottom", fontsize=7)
    axes.set(xlabel="block of the U-Net, in the order of the work", ylabel="modified operators")
    axes.margins(y=0.12)
    axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _on(colour: str) -> str:
    """In which a number can be read on a bar."""
    return "white" if colour == INK else INK


def _blocks(axes: Any, rows: Sequence[Row], named: bool = True) -> None:
    """Lines between the blocks of the U-Net, and their names below the axis."""
    names = [row["block"] for row in rows]
    blocks = list(dict.fromkeys(names))
    starts = [names.index(name) for name in blocks]
    for start in starts[1:]:
        axes.axvline(start - 0.5, color="grey", linewidth=0.6)
    centres = [start + (names.count(name) - 1) / 2 for start, name in zip(starts, blocks, strict=True)]
    axes.set_xticks(centres, blocks, fontsize=8)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-1, len(rows))
    if named:
        axes.set_xlabel("operator by its place in the U-Net, in the order of the work")
