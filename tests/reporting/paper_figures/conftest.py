"""Records and run folders of rows of suites, made without running anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aptp_bench.config import Recipe
from aptp_bench.core.store import digest_of
from aptp_bench.harness import run_folder
from aptp_bench.harness.suite import Suite
from aptp_bench.records import Measurement, Record, load
from aptp_bench.reporting.paper_figures.shelf import Shelf

ROOT = Path(__file__).parents[3]
Made = Callable[..., Record]


@cache
def recipes(suite: str) -> dict[str, Recipe]:
    return {run.label: run.recipe for run in Suite.load(suite).runs()}


@pytest.fixture(scope="session")
def made() -> Made:
    """made(suite, row, seed=0, digests={}, **values) -> a record of a row: values of metrics, each with an interval of ±1."""
    pattern = load(ROOT / "tests" / "fixtures" / "record-v1.json")

    def make(suite: str, row: str, seed: int = 0, digests: Any = None, **values: Any) -> Record:
        what = recipes(suite)[row].model_copy(update={"seed": seed, "settings": (f"seed={seed}", f"of={suite} {row}")})
        results = {name: measured(value) for name, value in values.items()}
        how = pattern.how.model_copy(update={"digests": {**pattern.how.digests, **(digests or {})}})
        return pattern.model_copy(update={"what": what, "results": results, "how": how})

    return make


def measured(value: float) -> Measurement:
    detail = {"ratio": value / 10, "ratio_interval": [value / 10 - 0.01, value / 10 + 0.01]}
    return Measurement(value=value, unit="", better="lower", n=50, interval=(value - 1, value + 1), detail=detail)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """run(record, {stage: {file: content}}) -> the run's folder under tmp_path / "runs", with these files in its stages."""

    def write(record: Record, stages: Mapping[str, Mapping[str, str | bytes]]) -> Path:
        runs, found = tmp_path / "runs", {}
        name = run_folder.place(record, runs).name
        for stage, files in stages.items():
            folder = runs / f"{stage}-{digest_of(name)[:12]}"
            for path, content in {"manifest.json": "{}", **files}.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())
            found[stage] = SimpleNamespace(folder=folder)
        run_folder.write(record, found, runs, {})
        return runs / name

    return write


@pytest.fixture
def shelf(tmp_path: Path) -> Callable[..., Shelf]:
    """shelf(records) -> these records, and the runs that `run` wrote."""

    def read(records: Sequence[Record] = ()) -> Shelf:
        return Shelf.read(records, tmp_path / "runs", pytest.fail)

    return read


def lines(rows: Sequence[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
