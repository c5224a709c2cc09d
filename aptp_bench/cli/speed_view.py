"""A speed table on stdout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from aptp_bench.budget import CONVENTIONS
from aptp_bench.cli.view import line, plain_table, titled, wide_console

if TYPE_CHECKING:
    from aptp_bench.profiling.records import Ratio, SpeedRecord, Timing

MIB = 1 << 20


def show_speed(title: str, found: Sequence[SpeedRecord]) -> None:
    """A line a network and way of running: MACs, alignment, call, image, ratios to dense, bound, peak memory."""
    if not found:
        return
    console = wide_console()
    console.print()
    ratios = [f"{name} MACs" for name in CONVENTIONS]
    columns = ["network", *ratios, "by 8", "by 64", "way of running", "call, ms", "of dense", "bound, ms", "host, ms"]
    table = plain_table([*columns, "image, s", "of dense", "bound, s", "peak, MiB", "published, s"])
    for record in found:
        for timing in record.timings:
            table.add_row(*_cells(record, timing))
    first = found[0]
    size = f"{first.model}, {first.resolution} px, {first.how.device}"
    titled(console, f"{title}: {size}", table)
    line(
        console,
        "ratios to dense with their 95 % intervals; bound: predicted by a roofline, never measured; host: to issue a call",
    )
    known = [record.published for record in found if record.published]
    sources = dict.fromkeys(f"{each.get('source')}, {each.get('device')}" for each in known)
    line(console, f"published figures: {'; '.join(sources) or 'none'}")


def _cells(record: SpeedRecord, timing: Timing) -> list[str]:
    shares = [f"{record.macs_ratio[name] or 0:.4f}" for name in CONVENTIONS]
    bound = f"{timing.predicted_call_s * 1e3:,.2f}" if timing.predicted_call_s else ""
    host = f"{timing.host_call_s * 1e3:,.2f}" if timing.host_call_s else ""
    image = f"{timing.image.median_s:,.3f}" if timing.image else ""
    image_bound = f"{timing.predicted_image_s:,.3f}" if timing.predicted_image_s else ""
    peak = f"{timing.peak_bytes / MIB:,.0f}" if timing.peak_bytes else ""
    published = str(record.published["latency_s"]) if record.published else ""
    call = [f"{timing.call.median_s * 1e3:,.2f}", ratio(timing.call_ratio), bound, host]
    whole = [image, ratio(timing.image_ratio), image_bound, peak, published]
    return [
        escape(record.label),
        *shares,
        *aligned([net.changed_histogram for net in record.experts]),
        timing.setup.name,
        *call,
        *whole,
    ]


def aligned(counts: Sequence[Mapping[str, int]]) -> list[str]:
    """Shares of the widths in histograms by powers of two that are multiples of 8 and of 64; empty without a width."""
    total = sum(sum(each.values()) for each in counts)
    eights = sum(n for each in counts for power, n in each.items() if int(power) >= 8)
    return [f"{eights / total:.0%}", f"{sum(each['64'] for each in counts) / total:.0%}"] if total else ["", ""]


def ratio(found: Ratio | None) -> str:
    """A ratio to dense with its interval; empty for None."""
    return f"{found.value:.3f} [{found.interval[0]:.3f}, {found.interval[1]:.3f}]" if found else ""
