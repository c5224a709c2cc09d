"""What a check leaves behind: one JSON document, from which docs/audit.md is filled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveInt

from aptp_bench.core.documents import Frozen
from aptp_bench.core.progress import Progress
from aptp_bench.records import Measurement, Provenance, read, write

FOLDER = "audit"


class Finding(Frozen):
    """The facts of one check. `world`: of its quality numbers; counts and geometry are of the network that they name."""

    schema_version: Literal[1] = 1
    name: str
    world: Literal["mini", "smoke"]
    seeds: PositiveInt = 1
    facts: dict[str, Any]
    how: Provenance


@dataclass(frozen=True)
class Place:
    """Where a check finds what it reads (`results`), keeps its stages (`runs`), and how large a world it uses."""

    results: Path
    runs: Path
    scale: Literal["mini", "smoke"]
    progress: Progress


@dataclass(frozen=True)
class Check:
    """A check by its name on the command line. measure: the work; lines: its table for the page, in markdown."""

    name: str
    about: str
    measure: Callable[[Place], dict[str, Any]]
    lines: Callable[[dict[str, Any]], Sequence[str]]


def save(finding: Finding, results: Path) -> Path:
    """Write a finding to `results`/audit, whole or not at all; where it lies."""
    return write(finding, results / FOLDER / f"{finding.name}.json")


def load(results: Path, name: str) -> Finding:
    """The finding of a check. Raises ConfigError if it is not there or not of this schema."""
    return read(results / FOLDER / f"{name}.json", Finding, "finding", "check")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A markdown table, its first column aligned left."""
    rule = ["---", *("---:" for _ in header[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]


def quality(found: dict[str, Any]) -> list[str]:
    """Cells of measurements (metric -> plain data), value and 95 % interval."""
    return [_cell(Measurement.model_validate(each)) for each in found.values()]


def _cell(found: Measurement) -> str:
    shown = f"{found.value:.4g}"
    return shown if found.interval is None else f"{shown} [{found.interval[0]:.3g}, {found.interval[1]:.3g}]"
