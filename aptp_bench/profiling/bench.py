"""A speed table measured: many networks of one model on this device, a record each.

It is measured in pieces, one network in one way of running, and each is written as soon as it is done. A piece whose
record holds it already, of the same network, is not measured again: the same command goes on after a kill, and in the
next slot where time is short. What cannot be made (a budget, a type that the device lacks) is named; the rest is made.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from aptp_bench.budget import Budget
from aptp_bench.core.progress import Progress
from aptp_bench.core.provenance import device_name
from aptp_bench.core.slot import Piece, Slot, work_through
from aptp_bench.core.store import digest_of
from aptp_bench.harness import rows as table
from aptp_bench.models.call_plan import PLAIN
from aptp_bench.models.family import RANDOM
from aptp_bench.profiling import devices, records, targets
from aptp_bench.profiling.manifest import Manifest, filename
from aptp_bench.profiling.profile import CALLS, Profiler, here
from aptp_bench.profiling.records import SpeedRecord, Timing
from aptp_bench.profiling.setups import Setup
from aptp_bench.profiling.speed import Protocol, Ready
from aptp_bench.profiling.speed_suite import Campaign, Row, Way

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

    from aptp_bench.models.mixture import Mixture

LOGS = "logs"  # tracebacks of pieces that failed
PACE = 4.0  # a call's seconds over its bound, until one was measured
COMPILING = 60.0  # seconds a network, until one was compiled
MAKING = 3.0  # seconds to draw a network, place it and count its MACs


@dataclass(frozen=True)
class Site:
    """Where rows are measured and records go. command: the line that does all of it again."""

    device: torch.device
    results: Path
    progress: Progress
    command: str


def carry_out(campaign: Campaign, site: Site, only: Sequence[str] = ()) -> tuple[list[SpeedRecord], dict[str, str]]:
    """The records of all rows, old or new, and why others have none. Raises ConfigError for a label that is not there."""
    rows = table.chosen(campaign.rows, only)
    bench = Bench(campaign, site)
    work_through([bench.piece(*each) for each in campaign.order(rows)], Slot(), site.progress)
    return [bench.found[row.label] for row in rows if row.label in bench.found], bench.failures


class Bench:
    """One device on which pieces are measured. bound: its facts, those of an A100 if the table does not know it."""

    def __init__(self, campaign: Campaign, site: Site, bound: devices.Device | None = None) -> None:
        self.campaign, self.site = campaign, site
        self.kind = targets.model(campaign.model)
        self.latent = targets.latent_size(self.kind, campaign.resolution)
        self.bound = bound or here(site.device) or devices.named("A100")
        self.failures: dict[str, str] = {}
        self.found: dict[str, SpeedRecord] = {}
        self._profilers: dict[str, Profiler] = {}
        self._ready: Ready | None = None
        self._pace: dict[Setup, float] = {}
        self._compiling = COMPILING

    @cached_property
    def teacher(self) -> StableDiffusionPipeline:
        """The dense model on the device, which is where random weights are drawn."""
        with self.site.device if self.campaign.weights == RANDOM else nullcontext():
            return self.kind.load(self.campaign.weights).to(self.site.device)

    @cached_property
    def _dense(self) -> Profiler:
        """The dense network on paper."""
        return Profiler(self.kind, targets.dense(self.kind.skeleton()), self.latent)

    def piece(self, row: Row, way: Way) -> Piece:
        """One row in one way of running; nothing to do if that was measured before."""
        name = f"{row.label}, {way.setup.name}{', images' * bool(self._protocol(way).images)}"
        return Piece(name, lambda: self._run(row, way), lambda: self._expected(row, way))

    def kept(self, row: Row) -> SpeedRecord | None:
        """The record on disk, if it is of the same network; None otherwise, or where only a search could tell."""
        path = self.site.results / records.FOLDER / f"{self._name(row)}.json"
        known = self.campaign.architectures is not None or row.label in self._profilers
        if row.label not in self.found and known and path.is_file():
            old = records.load(path)
            if (old.architecture, old.published) == (self._architecture(row), self._published(row)):
                self.found[row.label] = old
        return self.found.get(row.label)

    def _run(self, row: Row, way: Way) -> None:
        if row.label in self.failures:
            return
        log = self.site.results / LOGS / f"{filename(row.label)}.log"
        _, why = table.attempt(lambda: self._measured(row, way), log)
        if why is not None:
            self.failures[row.label] = why
            self.site.progress.say(f"failed: {row.label}: {why}")

    def _measured(self, row: Row, way: Way) -> None:
        profiler, protocol = self._profiler(row), self._protocol(way)
        record = self.kept(row)
        if record and _holds(record, way, protocol):
            self.site.progress.say(f"{row.label}, {way.setup.name}: measured before")
            return
        if self._ready is None or self._ready.setup != way.setup:
            self._ready = Ready(way.setup, self.teacher, self.site.device)
        timing = profiler.measured(self._ready, protocol, self._weights(row))
        self._learn(profiler, timing)
        timings = {each.setup: each for each in (*(record.timings if record else ()), timing)}
        order = dict.fromkeys([*(each.setup for each in self.campaign.setups), *timings])
        found = {"timings": [timings[each] for each in order if each in timings]}
        self.found[row.label] = (record or self._unmeasured(row)).model_copy(update=found)
        records.save(self.found[row.label], self.site.results)

    def _unmeasured(self, row: Row) -> SpeedRecord:
        """The row's record without a timing."""
        profiler = self._profiler(row)
        record = profiler.record(profiler.predicted(list(devices.known())), [], self.site.command, self.site.device)
        return record.model_copy(update={"architecture": self._architecture(row), "published": self._published(row)})

    def _published(self, row: Row) -> dict[str, Any] | None:
        return None if row.published is None else {**row.published, **(self.campaign.published or {})}

    def _architecture(self, row: Row) -> str:
        """A digest of the row's networks."""
        drawn = self.campaign.architectures is not None and row.method != targets.DENSE
        manifest = self._manifest(row) if drawn else Manifest.of(self._profiler(row).subject)
        planned = [] if manifest.plan == PLAIN else [manifest.plan]
        return digest_of([each.model_dump(mode="json") for each in (*manifest.experts, *planned)])

    def _name(self, row: Row) -> str:
        edge = self.latent * self.kind.resolution // self.kind.latent_size
        return records.name(row.label, self.kind.name, edge, device_name(self.site.device))

    def _expected(self, row: Row, way: Way) -> float:
        """Seconds of a piece by the pace of the last one in this way; 0 where nobody can say.

        A network's bound is taken to be its budget's part of the dense one's: its own takes a second to count.
        """
        protocol, record = self._protocol(way), self.kept(row)
        searched = self.campaign.architectures is None and row.label not in self._profilers
        if row.label in self.failures or searched or (record and _holds(record, way, protocol)):
            return 0.0
        experts = 1 if row.method == targets.DENSE else self._experts(row)
        pair = (1 + min(row.budget, 1.0)) * self._dense_seconds(way.setup)
        warm = protocol.warmup if way.compiled else protocol.each(protocol.warmup, experts)
        rounds = experts * (warm + protocol.each(protocol.repeats, experts) + 2)
        rounds += (protocol.images + 2) * (CALLS + 2) if protocol.images else 0
        making = experts * (MAKING + self._compiling * way.compiled)
        return making + self._pace.get(way.setup, PACE) * pair * rounds

    def _learn(self, profiler: Profiler, timing: Timing) -> None:
        """How long calls and compiling take here, for what comes next."""
        self._pace[timing.setup] = timing.dense_call_s / self._dense_seconds(timing.setup)
        if timing.setup.compiled:
            self._compiling = timing.first_call_s / len(profiler.subject.share)

    def _dense_seconds(self, setup: Setup) -> float:
        """The bound of a guided call of the dense network."""
        return self._dense.dense_seconds(self.bound, setup.dtype, setup.batch)

    def _experts(self, row: Row) -> int:
        if self.campaign.architectures is None:
            return len(self._profilers[row.label].subject.share)
        return len(self._manifest(row).share)

    def _profiler(self, row: Row) -> Profiler:
        """The row on paper. One that is pruned here comes with its weights, and only the last of them is held."""
        if row.label not in self._profilers:
            if self.campaign.architectures is None:
                self._profilers.clear()
            self._profilers[row.label] = Profiler(self.kind, self._subject(row), self.latent)
        return self._profilers[row.label]

    def _subject(self, row: Row) -> targets.Subject:
        if row.method == targets.DENSE:
            return targets.dense(self.kind.skeleton(), row.label)
        if self.campaign.architectures is not None:
            return self._manifest(row).subject("meta")
        asked = targets.Asked(
            row.method, row.options, Budget.of(row.budget, self.campaign.macs), self.campaign.seed, row.label
        )
        with tempfile.TemporaryDirectory(prefix="aptp-bench-", ignore_cleanup_errors=True) as scratch:
            return targets.pruned(asked, self.teacher, Path(scratch), self.site.device, self.site.progress)

    def _manifest(self, row: Row) -> Manifest:
        return Manifest.load(Path(str(self.campaign.architectures)) / filename(row.label))

    def _weights(self, row: Row) -> Mixture:
        """What is run."""
        if row.method == targets.DENSE:
            return targets.dense(self.teacher.unet).mixture
        if self.campaign.architectures is not None:
            return self._manifest(row).subject(self.site.device).mixture
        return self._profiler(row).subject.mixture

    def _protocol(self, way: Way) -> Protocol:
        asked = self.campaign.protocol
        return Protocol(
            device=self.site.device,
            latent=self.latent,
            tokens=self.kind.tokens,
            warmup=asked.warmup,
            repeats=asked.repeats,
            images=asked.images if way.images is None else way.images,
            sampling=self.campaign.sampling,
            fewest=asked.fewest,
        )


def _holds(record: SpeedRecord, way: Way, protocol: Protocol) -> bool:
    """Whether the record has a timing of this way, with images where some are asked for."""
    return any(each.setup == way.setup and (each.image or not protocol.images) for each in record.timings)
