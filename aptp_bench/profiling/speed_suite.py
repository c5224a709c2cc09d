"""A speed table: many networks of one model on this device, a record each.

A row whose record lies there already, made from the same settings, is not measured again: the same command goes on after
a kill. What cannot be made (a budget, a type that the device lacks) is named; the other rows are made.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, Field, PositiveInt

from aptp_bench.budget import Budget, Convention
from aptp_bench.contracts.model import ModelPlugin
from aptp_bench.core.documents import Frozen
from aptp_bench.core.progress import Progress
from aptp_bench.core.settings import SamplingConfig
from aptp_bench.harness import rows as table
from aptp_bench.profiling import devices, records, targets
from aptp_bench.profiling.profile import Profiler
from aptp_bench.profiling.records import SpeedRecord
from aptp_bench.profiling.setups import Setup
from aptp_bench.profiling.speed import Protocol

LOGS = "logs"  # tracebacks of rows that failed


class Row(Frozen):
    """One network. options: the method's; published: what a paper prints for it."""

    label: str = Field(min_length=1)
    method: str
    budget: float = 1.0
    options: dict[str, Any] = Field(default_factory=dict)
    published: dict[str, Any] | None = None


class Repeats(Frozen):
    """How often. warmup, repeats: U-Net calls; images: whole batches of images, 0 for none."""

    warmup: int = Field(20, ge=0)
    repeats: int = Field(50, ge=2)
    images: int = Field(5, ge=0)


class Campaign(Frozen):
    """The rows, the ways of running, and how budgets are counted. resolution: pixels, the model's own if None."""

    title: str
    about: str = ""
    model: str
    weights: str | None = None
    resolution: PositiveInt | None = None
    macs: Convention = "exact"
    seed: int = 0
    protocol: Repeats = Repeats()
    sampling: SamplingConfig = SamplingConfig()
    setups: tuple[Setup, ...] = Field(min_length=1)
    rows: Annotated[tuple[Row, ...], Field(min_length=1), AfterValidator(table.distinct)]
    published: dict[str, str] | None = Field(None, description="where the rows' published figures are from")

    @classmethod
    def load(cls, path: Path) -> Campaign:
        """Read a YAML file. Raises ConfigError."""
        return table.read(cls, path, str(path), "benchmarks/speed/mini.yaml")


@dataclass(frozen=True)
class Site:
    """Where rows are measured and records go. command: the line that does all of it again."""

    device: torch.device
    results: Path
    progress: Progress
    command: str


def carry_out(campaign: Campaign, site: Site, only: Sequence[str] = ()) -> tuple[list[SpeedRecord], dict[str, str]]:
    """Every row's record, old or new, and why the others could not be made. Raises ConfigError for a label not there."""
    asked = table.chosen(campaign.rows, only)
    kind = targets.model(campaign.model)
    teacher = kind.load(campaign.weights).to(site.device)
    work = {row.label: partial(_row, campaign, row, (kind, teacher), site) for row in asked}
    made, failures = table.carry_out_all(work, site.progress.say, site.results / LOGS)
    return list(made.values()), failures


def _row(campaign: Campaign, row: Row, loaded: tuple[ModelPlugin, Any], site: Site) -> SpeedRecord:
    kind, teacher = loaded
    latent = targets.latent_size(kind, campaign.resolution)
    with tempfile.TemporaryDirectory(prefix="aptp-bench-", ignore_cleanup_errors=True) as scratch:
        subject = _subject(campaign, row, teacher, site, Path(scratch))
        profiler = Profiler(kind, subject, latent)
        unmeasured = profiler.record(profiler.predicted(list(devices.known())), [], site.command, site.device)
        published = None if row.published is None else {**row.published, **(campaign.published or {})}
        unmeasured = unmeasured.model_copy(update={"published": published})
        old = _old(unmeasured, campaign.setups, site.results)
        if old is not None:
            site.progress.say(f"{row.label}: measured before, {site.results / records.FOLDER / old.name}.json")
            return old
        timings = [_timed(profiler, setup, teacher, campaign, site) for setup in campaign.setups]
        record = unmeasured.model_copy(update={"timings": timings})
        records.save(record, site.results)
        return record


def _subject(campaign: Campaign, row: Row, teacher: Any, site: Site, scratch: Path) -> targets.Subject:
    if row.method == "dense":
        return targets.dense(teacher.unet, row.label)
    asked = targets.Asked(row.method, row.options, Budget.of(row.budget, campaign.macs), campaign.seed, row.label)
    return targets.pruned(asked, teacher, scratch, site.device, site.progress)


def _timed(profiler: Profiler, setup: Setup, teacher: Any, campaign: Campaign, site: Site) -> Any:
    repeats = campaign.protocol
    protocol = Protocol(
        device=site.device,
        latent=profiler.latent,
        tokens=profiler.kind.tokens,
        warmup=repeats.warmup,
        repeats=repeats.repeats,
        images=repeats.images,
        sampling=campaign.sampling,
    )
    site.progress.say(f"{profiler.subject.label}: {setup.name}")
    return profiler.measured(setup, teacher, protocol)


def _old(record: SpeedRecord, setups: Sequence[Setup], results: Path) -> SpeedRecord | None:
    """The record on disk of the same network in the same ways of running; None if there is none."""
    path = results / records.FOLDER / f"{record.name}.json"
    if not path.is_file():
        return None
    old = records.load(path)
    return old if _network(old) == _network(record) and [t.setup for t in old.timings] == list(setups) else None


def _network(record: SpeedRecord) -> dict[str, Any]:
    """What must be the same for an old record to stand."""
    return record.model_dump(include={"method_config", "budget", "experts", "published"})
