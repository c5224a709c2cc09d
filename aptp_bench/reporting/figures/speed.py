"""Plots of costs: MACs by block, and MACs saved against time saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from aptp_bench.profiling.records import SpeedRecord, Timing
from aptp_bench.reporting.figures import style
from aptp_bench.reporting.figures.style import COLOURS, HATCHES, MARKERS, PLAIN
from aptp_bench.reporting.numbers import GIGA, MEGA

if TYPE_CHECKING:
    from aptp_bench.profiling.profile import Profiler

FOLDER = "figures"
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
    """MACs saved against time saved: a panel a way of running, a colour a network; on the diagonal MACs are time."""
    ways = list(dict.fromkeys(t.setup.name for record in records for t in record.timings))
    pruned = [record for record in records if record.method != "dense" and record.timings]
    with mpl.rc_context(PLAIN):
        across = min(2, len(ways))
        down = -(-len(ways) // across)
        figure = Figure(figsize=(2 + 4 * across, 1 + 3.4 * down), layout="constrained")
        panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).flatten()
        for way, axes in zip(ways, panels, strict=False):
            for place, record in enumerate(pruned):
                for timing in (each for each in record.timings if each.setup.name == way):
                    _point(axes, record, timing, place)
            axes.set_title(way, fontsize=9)
        high = _limits(pruned)[1]
        for axes in panels:
            axes.plot([0, high], [0, high], color="grey", linewidth=0.8, linestyle="--")
            axes.axhline(0, color="grey", linewidth=0.5)
            axes.set(xlim=(0, high), ylim=_limits(pruned))
            axes.set_visible(axes in panels[: len(ways)])
        for place, record in enumerate(pruned):
            panels[0].plot([], [], **_look(place), linestyle="none", label=record.label)
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


def _point(axes: Any, record: SpeedRecord, timing: Timing, place: int) -> None:
    """One network in one way of running, with the interval of its time."""
    ratio = timing.image_ratio or timing.call_ratio
    x, y = 1 - (record.macs_ratio["exact"] or 0), 1 - ratio.value
    error = [[max(0.0, ratio.interval[1] - ratio.value)], [max(0.0, ratio.value - ratio.interval[0])]]
    axes.errorbar(x, y, yerr=error, **_look(place), capsize=2, linewidth=0.8)


def _look(place: int) -> dict[str, Any]:
    """Colour and marker of the network at `place`: hollow once the colours are used up."""
    colour = COLOURS[place % len(COLOURS)]
    face = "none" if place >= len(COLOURS) else colour
    return {"color": colour, "marker": MARKERS[place % len(MARKERS)], "markerfacecolor": face, "markersize": 6}
