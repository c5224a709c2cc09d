"""Plots of costs: MACs by block, and MACs saved against time saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from aptp_bench.profiling.records import SpeedRecord, Timing
from aptp_bench.reporting.figures import style
from aptp_bench.reporting.figures.looks import SHAPES, looks
from aptp_bench.reporting.figures.room import dodge
from aptp_bench.reporting.figures.style import COLOURS, EDGE, HATCHES, PLAIN
from aptp_bench.reporting.numbers import GIGA, MEGA

if TYPE_CHECKING:
    from aptp_bench.profiling.profile import Profiler

FOLDER = "figures"
APART = 0.008  # share of dense between marks that would coincide
WORLDS = {"mini": "mini world", "paper": "true geometry"}


def macs_by_block(profiler: Profiler) -> Figure:
    """Exact MACs of every block of the first level: dense, and each expert beside it."""
    with mpl.rc_context(PLAIN):
        dense = {b.path: b for level, b in profiler.dense_tree().walk() if level == 1 and (b.macs["exact"] or 0) > 0}
        figure = Figure(figsize=(8, 4.2), layout="constrained")
        axes = figure.subplots()
        bars = [("dense", dense)]
        for i in range(len(profiler.experts) if profiler.subject.method != "dense" else 0):
            label = f"expert {i}" if len(profiler.experts) > 1 else profiler.subject.label
            bars.append((label, {b.path: b for level, b in profiler.tree(i).walk() if level == 1}))
        height, unit = 0.8 / len(bars), GIGA if sum(profiler.dense_trace.macs().values()) >= GIGA else MEGA
        for place, (label, blocks) in enumerate(bars):
            values = [(blocks[path].macs["exact"] or 0) / unit if path in blocks else 0.0 for path in dense]
            at = [row + place * height for row in range(len(dense))]
            look = {"color": COLOURS[place % len(COLOURS)], "hatch": HATCHES[place // len(COLOURS) % len(HATCHES)]}
            axes.barh(at, values, height=height, label=label, **look)
        axes.set_yticks([row + 0.4 - height / 2 for row in range(len(dense))], [b.name for b in dense.values()])
        axes.invert_yaxis()
        counted = f"{'10⁹' if unit == GIGA else '10⁶'} MACs (exact)"
        axes.set_xlabel(f"{counted} of one call on one sample, latents {profiler.latent}²")
        axes.set_title(f"{profiler.kind.name}, {WORLDS[profiler.kind.world]}: where the MACs are")
        axes.legend(fontsize=7)
        return figure


def savings(records: Sequence[SpeedRecord], title: str) -> Figure:
    """MACs saved against time saved: a panel a way of running, a colour a method; on the diagonal MACs are time."""
    ways = list(dict.fromkeys(t.setup.name for record in records for t in record.timings))
    pruned = [record for record in records if record.method != "dense" and record.timings]
    drawn = _looks(pruned)
    with mpl.rc_context(PLAIN):
        across = min(2, len(ways))
        down = -(-len(ways) // across)
        figure = Figure(figsize=(2 + 4 * across, 1 + 3.4 * down), layout="constrained")
        panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).flatten()
        for way, axes in zip(ways, panels, strict=False):
            _panel(
                axes,
                [(r, t, look) for r, look in zip(pruned, drawn, strict=True) for t in r.timings if t.setup.name == way],
            )
            axes.set_title(way, fontsize=9)
        high = _limits(pruned)[1]
        for axes in panels:
            axes.plot([0, high], [0, high], color="grey", linewidth=0.8, linestyle="--")
            axes.axhline(0, color="grey", linewidth=0.5)
            axes.set(xlim=(0, high), ylim=_limits(pruned))
            axes.set_visible(axes in panels[: len(ways)])
        for record, look in zip(pruned, drawn, strict=True):
            panels[0].plot([], [], **look, linestyle="none", label=record.label)
        figure.supxlabel("MACs saved (exact), share of dense", fontsize=9)
        figure.supylabel("time saved, share of dense", fontsize=9)
        figure.suptitle(title, fontsize=10)
        figure.legend(fontsize=7, loc="outside right center")
        return figure


def draw(found: Sequence[SpeedRecord], title: str, results: Path) -> list[Path]:
    """The plot of these records as .svg and .png under `results`/figures; empty where nothing pruned was measured."""
    if not any(record.timings and record.method != "dense" for record in found):
        return []
    folder = results / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    stem = "macs_and_time" + found[0].name.removeprefix(found[0].name.partition("-")[0])
    paths = [folder / f"{stem}{suffix}" for suffix in (".svg", ".png")]
    for path in paths:
        style.save(savings(found, f"{title}\n{found[0].how.device}"), path)
    return paths


def _limits(records: Sequence[SpeedRecord]) -> tuple[float, float]:
    """The lower end of the vertical axis and the common upper end; intervals may reach beyond."""
    times = [1 - (t.image_ratio or t.call_ratio).value for r in records for t in r.timings]
    saved = [1 - (record.macs_ratio["exact"] or 0) for record in records]
    return min(0.0, *times) - 0.08 if times else 0.0, max([0.1, *times, *saved]) + 0.05


def _panel(axes: Any, points: Sequence[tuple[SpeedRecord, Timing, dict[str, Any]]]) -> None:
    """Networks in one way of running, with the intervals of their times; those that would coincide stand side by side."""
    ratios = [timing.image_ratio or timing.call_ratio for _, timing, _ in points]
    saved = [1 - (record.macs_ratio["exact"] or 0) for record, _, _ in points]
    reached = [(1 - ratio.interval[1], 1 - ratio.interval[0]) for ratio in ratios]
    for x, (low, high), ratio, (_, _, look) in zip(
        dodge(list(zip(saved, reached, strict=True)), APART), reached, ratios, points, strict=True
    ):
        y = 1 - ratio.value
        error = [[max(0.0, y - low)], [max(0.0, high - y)]]
        axes.errorbar(x, y, yerr=error, **look, capsize=2, linewidth=0.8)


def _looks(records: Sequence[SpeedRecord]) -> list[dict[str, Any]]:
    """Colour of each network's method, and a marker that tells the networks of one method apart: its own first."""
    methods = looks(record.method for record in records)
    found: list[dict[str, Any]] = []
    for place, record in enumerate(records):
        colour, marker = methods[record.method]
        before = sum(other.method == record.method for other in records[:place])
        at = (SHAPES.index(marker) + before) % len(SHAPES)
        found.append({"color": colour, "marker": SHAPES[at], "markersize": 6, **EDGE})
    return found
