"""A speed table: many networks of one model on this device, a record each, and the plot of MACs saved against time saved.

A row whose record lies there already, made from the same settings, is not measured again: the same command goes on after
a kill. What cannot be made (a budget, a type that the device lacks) is named at the end; the other rows are made.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import Field, PositiveInt, ValidationError

from aptp_bench.budget import Budget, Convention
from aptp_bench.config import SamplingConfig, Settings
from aptp_bench.errors import AptpBenchError, ConfigError
from aptp_bench.plugins import ModelPlugin, Progress
from aptp_bench.profiling import devices, plots, records, targets
from aptp_bench.profiling.profile import Profiler
from aptp_bench.profiling.records import SpeedRecord
from aptp_bench.profiling.setups import Setup
from aptp_bench.profiling.speed import Protocol
from aptp_bench.reporting.figures import style

FIGURES = "figures"


class Row(Settings):
    """One network. options: the method's; published: what a paper prints for it."""

    label: str = Field(min_length=1)
    method: str
    budget: float = 1.0
    options: dict[str, Any] = Field(default_factory=dict)
    published: dict[str, Any] | None = None


class Repeats(Settings):
    """How often. warmup, repeats: U-Net calls; images: whole batches of images, 0 for none."""

    warmup: int = Field(20, ge=0)
    repeats: int = Field(50, ge=2)
    images: int = Field(5, ge=0)


class Campaign(Settings):
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
    rows: tuple[Row, ...] = Field(min_length=1)
    published: dict[str, str] | None = Field(None, description="where the rows' published figures are from")

    @classmethod
    def load(cls, path: Path) -> Campaign:
        """Read a YAML file. Raises ConfigError."""
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (OSError, yaml.YAMLError, ValidationError) as err:
            raise ConfigError(f"{path}: {' '.join(str(err).split())[:300]}") from err


@dataclass(frozen=True)
class Site:
    """Where rows are measured and records go. command: the line that does all of it again."""

    device: torch.device
    results: Path
    progress: Progress
    command: str


def carry_out(campaign: Campaign, site: Site, only: Sequence[str] = ()) -> tuple[list[SpeedRecord], dict[str, str]]:
    """Every row's record, old or new, and why the others could not be made; draws the plot of what there is."""
    if unknown := set(only) - {row.label for row in campaign.rows}:
        raise ConfigError(f"no row is called '{min(unknown)}'; rows: {', '.join(row.label for row in campaign.rows)}")
    kind = targets.model(campaign.model)
    teacher = kind.load(campaign.weights).to(site.device)
    found: list[SpeedRecord] = []
    failures: dict[str, str] = {}
    for place, row in enumerate(campaign.rows, start=1):
        if only and row.label not in only:
            continue
        site.progress.say(f"{place} of {len(campaign.rows)}: {row.label}")
        try:
            found.append(_row(campaign, row, (kind, teacher), site))
        except (AptpBenchError, RuntimeError) as err:  # torch's own: a type without kernels, memory that is spent
            failures[row.label] = str(err).splitlines()[0]
    draw(found, campaign.title, site.results)
    return found, failures


def draw(found: Sequence[SpeedRecord], title: str, results: Path) -> list[Path]:
    """The plot of these records as .svg and .png under `results`/figures; empty where nothing pruned was measured."""
    if not any(record.timings and record.method != "dense" for record in found):
        return []
    folder = results / FIGURES
    folder.mkdir(parents=True, exist_ok=True)
    stem = "macs_and_time" + found[0].name.removeprefix(found[0].name.partition("-")[0])
    paths = [folder / f"{stem}{suffix}" for suffix in (".svg", ".png")]
    for path in paths:
        style.save(plots.savings(found, f"{title}\n{found[0].how.device}"), path)
    return paths


def _row(campaign: Campaign, row: Row, loaded: tuple[ModelPlugin, Any], site: Site) -> SpeedRecord:
    kind, teacher = loaded
    latent = targets.latent_size(kind, campaign.resolution)
    scratch = Path(tempfile.mkdtemp(prefix="aptp-bench-"))
    try:
        subject = _subject(campaign, row, teacher, site, scratch)
        profiler = Profiler(kind, subject, latent)
        unmeasured = profiler.record(profiler.predicted(list(devices.known())), [], site.command, site.device)
        unmeasured = unmeasured.model_copy(update={"published": _published(campaign, row)})
        old = _old(unmeasured, campaign.setups, site.results)
        if old is not None:
            site.progress.say(f"{row.label}: measured before, {site.results / records.FOLDER / old.name}.json")
            return old
        timings = [_timed(profiler, setup, teacher, campaign, site) for setup in campaign.setups]
        record = unmeasured.model_copy(update={"timings": timings})
        records.save(record, site.results)
        return record
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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


def _published(campaign: Campaign, row: Row) -> dict[str, Any] | None:
    return None if row.published is None else {**row.published, **(campaign.published or {})}
