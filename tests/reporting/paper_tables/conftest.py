"""Records of rows of the papers' tables, made without running anything."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from aptp_bench.config import Recipe
from aptp_bench.harness.suite import Suite
from aptp_bench.records import Measurement, Record, load, load_all

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def committed(tracked: Path) -> list[Record]:
    """The records of this repository."""
    return list(load_all(tracked / "results")[0].values())


@pytest.fixture(scope="session")
def made() -> Callable[..., Record]:
    """made(table, row, scale, seed=0, **values) -> a record of a row: values of metrics, each with an interval of ±1."""
    pattern = load(ROOT / "tests" / "fixtures" / "record-v1.json")

    def make(table: str, row: str, scale: str, seed: int = 0, **values: Any) -> Record:
        what = recipe(table, row, scale).model_copy(update={"seed": seed})
        results = {name: measured(value) for name, value in values.items()}
        counts = {
            name: pattern.macs[name].model_copy(update={"dense": 100e9, "pruned": 60e9, "ratio": 0.6})
            for name in pattern.macs
        }
        own = {"what": what, "world": scale, "results": results, "macs": counts}
        return pattern.model_copy(update=own)

    return make


@cache
def recipe(table: str, row: str, scale: str) -> Recipe:
    return {run.label: run.recipe for run in Suite.load(table, scale).runs()}[row]


def measured(value: float) -> Measurement:
    return Measurement(
        value=value, unit="", better="lower", n=50, interval=(value - 1, value + 1), detail={"ratio": 0.5}
    )
