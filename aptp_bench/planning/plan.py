"""The plan of one run or of a whole suite: a document, with what will not fit said before anything is spent."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeVar

from aptp_bench.core.documents import Frozen
from aptp_bench.core.recipe import Recipe
from aptp_bench.errors import ConfigError
from aptp_bench.planning.facts import Facts
from aptp_bench.planning.loops import Load
from aptp_bench.planning.machine import BASIS, GIB, Machine
from aptp_bench.planning.measuring import Reading
from aptp_bench.planning.stages import Run

HOUR, GB = 3600.0, 1e9
Number = TypeVar("Number", int, float)


class PlannedStage(Frozen):
    """A stage of a row. bound_s: at best; seconds: expected; None: not estimated. made_by: the row that makes it, if another does.

    memory_bytes: of a process at the worst moment; disk_bytes: what it leaves; folder: of which kind: pairs, experts, images.
    """

    stage: str
    bound_s: float | None
    seconds: float | None
    memory_bytes: int | None
    disk_bytes: int
    folder: str
    made_by: str = ""


class PlannedRow(Frozen):
    """A run: its command and its stages. seconds: of the stages that it makes itself and that are estimated."""

    label: str
    command: str
    seconds: float
    stages: tuple[PlannedStage, ...]


class Plan(Frozen):
    """What all runs take on a machine; stages that several of them share are counted once.

    device_hours: of all processes' devices, which wait where one works alone; price: money, where a price was given.
    """

    title: str
    device: str
    source: str
    memory_gib: float | None
    processes: int
    efficiency: float
    basis: str = BASIS
    rows: tuple[PlannedRow, ...]
    seconds: float
    seconds_by_stage: dict[str, float]
    device_hours: float
    price: float | None
    memory_bytes: dict[str, int]
    disk_bytes: dict[str, int]
    not_estimated: tuple[str, ...]
    warnings: tuple[str, ...]


def plan(
    title: str,
    runs: Sequence[tuple[str, Recipe]],
    machine: Machine,
    runs_dir: Path,
    price: float | None = None,
    suite: bool = False,
) -> Plan:
    """Of runs by their labels, in their order. price: of a device for an hour. Nothing is loaded, nothing written.

    suite: whether a method's setting is called METHOD.setting.

    Raises ConfigError for a price that is none.
    """
    if price is not None and not 0 <= price < math.inf:
        raise ConfigError(f"{price:g} is no price of a device hour; use --price with a number, e.g. 2")
    rows, unfit = _rows(runs, machine, suite)
    made = [stage for row in rows for stage in row.stages if not stage.made_by]
    seconds = sum(row.seconds for row in rows)
    hours = seconds / HOUR * machine.processes
    disk = _summed((stage.folder, stage.disk_bytes) for stage in made if stage.folder)
    return Plan(
        title=title,
        device=machine.device.title,
        source=machine.device.source,
        memory_gib=machine.memory and machine.memory / GIB,
        processes=machine.processes,
        efficiency=machine.efficiency,
        rows=tuple(rows),
        seconds=seconds,
        seconds_by_stage=_summed((stage.stage, stage.seconds) for stage in made if stage.seconds is not None),
        device_hours=hours,
        price=None if price is None else price * hours,
        memory_bytes=_most((stage.stage, stage.memory_bytes) for stage in made if stage.memory_bytes),
        disk_bytes=disk,
        not_estimated=tuple(dict.fromkeys(stage.stage for stage in made if stage.seconds is None)),
        warnings=(*unfit, *_short_of_disk(runs_dir, sum(disk.values()))),
    )


def _rows(runs: Sequence[tuple[str, Recipe]], machine: Machine, suite: bool) -> tuple[list[PlannedRow], list[str]]:
    """The rows, and what does not fit the device."""
    facts_of = cache(Facts)
    makers: dict[str, str] = {}
    done: set[str] = set()
    rows: list[PlannedRow] = []
    unfit: list[str] = []
    for label, recipe in runs:
        stages = []
        prefix = f"{recipe.method}." if suite else ""
        for name, identity, load in Run(recipe, facts_of(recipe.model), machine, prefix).loads():
            owner = makers.setdefault(identity, label)
            stages.append(_stage(name, _left(load, done), "" if owner == label else owner, machine))
            if load.fix and owner == label:
                unfit.append(f"{label}: {_unfit(name, load, machine)}")
        own = sum(stage.seconds or 0.0 for stage in stages if not stage.made_by)
        rows.append(PlannedRow(label=label, command=recipe.command, seconds=own, stages=tuple(stages)))
    return rows, unfit


def _left(load: Load, done: set[str]) -> Load:
    """What is left of a stage's work after what was done before it, to which it is added."""
    if not isinstance(load, Reading) or load.works is None:
        return load
    left = {what: seconds for what, seconds in load.works if what not in done}
    done.update(left)
    return replace(load, bound_s=sum(left.values()))


def _stage(name: str, load: Load, maker: str, machine: Machine) -> PlannedStage:
    return PlannedStage(
        stage=name,
        bound_s=load.bound_s,
        seconds=None if load.bound_s is None else load.bound_s / machine.efficiency,
        memory_bytes=load.memory,
        disk_bytes=load.disk,
        folder=load.kind,
        made_by=maker,
    )


def _unfit(stage: str, load: Load, machine: Machine) -> str:
    needed, there = (load.memory or 0) / GIB, (machine.memory or 0) / GIB
    return f"{stage} needs {needed:,.1f} GiB a process and the device has {there:,.4g}; {load.fix}"


def _short_of_disk(runs_dir: Path, needed: int) -> Iterable[str]:
    """A warning where the disk of the runs' folder, or of the nearest one above it that exists, has less free."""
    there = next(folder for folder in (runs_dir.absolute(), *runs_dir.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        short = f"{runs_dir} needs {needed / GB:,.1f} GB of disk and {free / GB:,.1f} are free"
        yield f"{short}; choose another with --runs-dir, or run with --keep tuned, which halves what experts take in the end"


def _summed(amounts: Iterable[tuple[str, Number]]) -> dict[str, Number]:
    """The sum of each name's amounts."""
    found: dict[str, Number] = {}
    for name, amount in amounts:
        found[name] = found[name] + amount if name in found else amount
    return found


def _most(amounts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The largest of each name's amounts."""
    found: dict[str, int] = {}
    for name, amount in amounts:
        found[name] = max(amount, found.get(name, 0))
    return found
