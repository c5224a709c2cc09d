"""The job `speed`: SD 2.1's pruned networks, chosen beforehand, in every way of running. Nothing is searched on the card."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from aptp_bench.benchmarks.slot import job
from aptp_bench.cli.speed_view import show_speed
from aptp_bench.core.slot import Piece
from aptp_bench.harness.rows import raise_failures
from aptp_bench.profiling import devices
from aptp_bench.profiling.bench import Bench, Site
from aptp_bench.profiling.speed_suite import Campaign, Repeats
from aptp_bench.reporting.figures.speed import draw

TABLE = Path(str(files("aptp_bench.benchmarks.speed") / "sd21.yaml"))
ROWS, WAYS = 3, 2  # of the smallest trial


class Job(job.Job):
    """Records under `out`/speed, the plot under `out`/figures."""

    def __init__(self, place: job.Place) -> None:
        super().__init__(place)
        self.table = smallest(Campaign.load(TABLE)) if place.smallest else Campaign.load(TABLE)
        site = Site(place.device, place.out, place.progress, place.command)
        self.bench = Bench(self.table, site, devices.named(place.on) if place.on else None)

    def pieces(self) -> Sequence[Piece]:
        """A network in a way of running each."""
        return [self.bench.piece(*each) for each in self.table.order(self.table.rows)]

    def show(self) -> None:
        """Draw and show the networks that were measured."""
        found = [self.bench.found[row.label] for row in self.table.rows if row.label in self.bench.found]
        draw(found, self.table.title, self.place.out)
        show_speed(self.table.title, found)
        raise_failures(self.bench.failures, len(self.table.rows))


def smallest(table: Campaign) -> Campaign:
    """The first rows in the first ways of running, on images of 64 pixels."""
    labels = tuple(row.label for row in table.rows[:ROWS])
    ways = tuple(way.model_copy(update={"rows": labels}) for way in table.setups[:WAYS])
    few = Repeats(warmup=0, repeats=2, images=0, fewest=2)
    return table.model_copy(update={"resolution": 64, "protocol": few, "setups": ways})
