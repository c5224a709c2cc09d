"""A profile as tables on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from aptp_bench.budget import CONVENTIONS
from aptp_bench.cli.speed_view import MIB, aligned, ratio
from aptp_bench.cli.view import line, plain_table, titled, wide_console
from aptp_bench.reporting.numbers import GIGA, MEGA

if TYPE_CHECKING:
    from aptp_bench.profiling.profile import Profiler
    from aptp_bench.profiling.records import Network, SpeedRecord


def show_profile(record: SpeedRecord, profiler: Profiler, depth: int) -> None:
    """MACs and parameters, the tree of blocks, alignment and memory, predicted and measured latency."""
    console = wide_console()
    console.print()
    _show_networks(console, record)
    gates = profiler.gates()
    kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in gates["gates_by_kind"].items())
    line(console, f"gates of the dense network: {gates['gates']} ({kinds})")
    _show_tree(console, profiler, depth, _unit(record))
    _show_alignment(console, record)
    _show_memory(console, record)
    _show_predicted(console, record)
    _show_timings(console, record)


def _show_networks(console: Console, record: SpeedRecord) -> None:
    unit, letter = _unit(record)
    table = plain_table(["", *(f"MACs {name}, {letter}" for name in CONVENTIONS), "parameters, M", "share of prompts"])
    for label, net in _labelled(record):
        counts = [_count(net.macs[name], record.dense.macs[name], unit) for name in CONVENTIONS]
        table.add_row(escape(label), *counts, f"{net.parameters / MEGA:,.3f}", f"{net.share:.1%}")
    if len(record.experts) > 1:
        ratios = [f"{record.macs_ratio[name] or 0:.4f} of dense" for name in CONVENTIONS]
        table.add_row("mean", *ratios, "", "", style="bold")
    size = f"{record.resolution} px, latents {record.latent}², {record.tokens} text tokens, one sample"
    titled(console, f"{record.model}: {size}", table)
    line(console, f"widths: {record.geometry}" + (f"; {record.remark}" if record.remark else ""))


def _unit(record: SpeedRecord) -> tuple[float, str]:
    """10^9 MACs, or 10^6 for a small network, and its letter."""
    return (GIGA, "G") if max(filter(None, record.dense.macs.values())) >= GIGA else (MEGA, "M")


def _count(macs: int | None, dense: int | None, unit: float) -> str:
    if macs is None:
        return "no count"
    share = f" ({macs / dense:.4f})" if dense and dense != macs else ""
    return f"{macs / unit:,.4f}{share}"


def _show_tree(console: Console, profiler: Profiler, depth: int, unit: tuple[float, str]) -> None:
    size, letter = unit
    whole = {block.path: block.macs["exact"] for _, block in profiler.dense_tree().walk()}
    first, *others = (f"MACs {name}, {letter}" for name in CONVENTIONS)
    table = plain_table(["block", first, "of the network", *others, "parameters, M", "kept"])
    tree = profiler.tree()
    for level, block in tree.walk():
        if level <= depth:
            first, *others = (f"{(block.macs[name] or 0) / size:,.3f}" for name in CONVENTIONS)
            exact, dense = block.macs["exact"] or 0, whole.get(block.path)
            share = f"{exact / (tree.macs['exact'] or 1):.1%}"
            kept = f"{exact / dense:.3f}" if dense else ""
            name = f"{'  ' * level}{block.name}"
            table.add_row(name, first, share, *others, f"{block.parameters / MEGA:,.3f}", kept)
    which = " of expert 0" if len(profiler.experts) > 1 else ""
    titled(console, f"by block{which}: kept is the share of the dense block's exact MACs (--depth shows more)", table)


def _show_alignment(console: Console, record: SpeedRecord) -> None:
    powers = list(record.dense.histogram)
    table = plain_table(["widths divisible by", *(f"{p}{'+' if p == '64' else ''}" for p in powers), "by 8", "by 64"])
    rows = [("dense, all", record.dense.histogram)]
    changed = [(f"{label}, those that changed", net.changed_histogram) for label, net in _labelled(record)[1:]]
    rows += [(label, counts) for label, counts in changed if any(counts.values())]
    for label, counts in rows:
        table.add_row(escape(label), *(str(counts[p]) for p in powers), *aligned([counts]))
    titled(console, "alignment: widths by the largest power of two that divides them", table)


def _show_memory(console: Console, record: SpeedRecord) -> None:
    dtypes = list(record.dense.weights_bytes)
    table = plain_table(["MiB", *(f"{what} {d}" for d in dtypes for what in ("weights", "activations"))])
    for label, net in _labelled(record):
        cells = [f"{b / MIB:,.1f}" for d in dtypes for b in (net.weights_bytes[d], net.activation_bytes[d])]
        table.add_row(escape(label), *cells)
    titled(console, "memory: weights, and the most activations alive at once in a call on one sample (counted)", table)


def _labelled(record: SpeedRecord) -> list[tuple[str, Network]]:
    """The dense network, then the experts unless they are it, as tables call them."""
    many = len(record.experts) > 1
    experts = [(f"expert {i}" if many else record.label, net) for i, net in enumerate(record.experts)]
    return [("dense", record.dense), *(experts if record.method != "dense" else [])]


def _show_predicted(console: Console, record: SpeedRecord) -> None:
    table = plain_table(
        ["predicted on", "type", "U-Net call, ms", "image, s", "dense image, s", "of dense", "waits for memory"]
    )
    for each in record.predicted:
        share = f"{each.image_s / each.dense_image_s:.3f}"
        cells = [f"{each.call_s * 1e3:,.3f}", f"{each.image_s:,.3f}", f"{each.dense_image_s:,.3f}", share]
        table.add_row(each.device, each.dtype, *cells, f"{each.memory_bound:.0%}")
    titled(
        console,
        "latency, predicted (roofline bound: no launch costs, every kernel at its peak; 25 PNDM steps, guidance)",
        table,
    )


def _show_timings(console: Console, record: SpeedRecord) -> None:
    if not record.timings:
        line(console, "latency was not measured: add --latency call or --latency image")
        return
    table = plain_table(
        ["measured", "U-Net call, ms", "of dense", "image, s", "of dense", "predicted call, ms", "peak, MiB"]
    )
    for t in record.timings:
        call = f"{t.call.median_s * 1e3:,.2f} [{t.call.interval_s[0] * 1e3:,.2f}, {t.call.interval_s[1] * 1e3:,.2f}]"
        image = (
            f"{t.image.median_s:,.3f} [{t.image.interval_s[0]:,.3f}, {t.image.interval_s[1]:,.3f}]" if t.image else ""
        )
        bound = f"{t.predicted_call_s * 1e3:,.2f}" if t.predicted_call_s else "unknown device"
        peak = f"{t.peak_bytes / MIB:,.0f}" if t.peak_bytes else ""
        table.add_row(t.setup.name, call, ratio(t.call_ratio), image, ratio(t.image_ratio), bound, peak)
    first = record.timings[0]
    where = f"{first.conditions['device']}, {first.conditions['threads']} threads, {', '.join(first.attention)}"
    titled(console, f"latency, measured: median [95 % interval of it], {first.call.n} calls; {where}", table)
