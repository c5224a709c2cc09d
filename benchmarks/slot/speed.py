"""The job `speed`: SD 2.1's pruned networks, chosen beforehand, in every way of running. Nothing is searched on the card."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from aptp_bench.cli.speed_view import show_speed
from aptp_bench.cli.view import line, plain_table, titled, wide_console
from aptp_bench.harness.rows import raise_failures
from aptp_bench.profiling.bench import Site, carry_out, plan
from aptp_bench.profiling.speed_suite import Campaign, Repeats
from aptp_bench.reporting.figures.speed import draw

TABLE = Path(str(files("aptp_bench.benchmarks.speed") / "sd21.yaml"))
SMALLEST = {"resolution": 64, "protocol": Repeats(warmup=0, repeats=2, images=0, fewest=2)}
ROWS, WAYS = 3, 2  # of the smallest trial


def table(smallest: bool) -> Campaign:
    """The rows and ways of running; of the smallest trial the first few, on images of 64 pixels."""
    asked = Campaign.load(TABLE)
    if not smallest:
        return asked
    labels = tuple(row.label for row in asked.rows[:ROWS])
    ways = tuple(way.model_copy(update={"rows": labels}) for way in asked.setups[:WAYS])
    return asked.model_copy(update={**SMALLEST, "setups": ways})


def show_plan(smallest: bool, on: str, seconds: float) -> None:
    """The pieces, their predicted seconds on a device of the table, and which of them a slot would hold."""
    console, total, left = wide_console(), 0.0, seconds
    shown = plain_table(["piece", "predicted, s", "in all, s", "in this slot"])
    for name, expected in plan(table(smallest), on):
        total, fits = total + expected, expected <= left
        left -= expected * fits
        shown.add_row(name, f"{expected:.0f}", f"{total:.0f}", "yes" if fits else "")
    titled(console, f"speed on {on}: slots of {seconds:.0f} s", shown)


def do(smallest: bool, site: Site) -> None:
    """Measure, draw, show, and say what is left. Raises SuiteError if a piece failed."""
    asked = table(smallest)
    done = carry_out(asked, site)
    draw(done.records, asked.title, site.results)
    show_speed(asked.title, done.records)
    console = wide_console()
    line(console, f"left for the next slot: {'; '.join(done.left) or 'nothing'}")
    line(console, f"{site.slot.left:.0f} s of the slot were not used")
    raise_failures(done.failures, len(asked.rows))
