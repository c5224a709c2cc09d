"""What a page says of a run beside its record: where its file lies, and how its metrics were measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aptp_bench.records import Measurement, Record
from aptp_bench.reporting.ranking.entries import PROTOCOL

SHORT = 12  # characters of a digest that are enough to see a difference


@dataclass(frozen=True)
class Source:
    """A record and its file: its path in the results folder, its digest, and its samples if they are there."""

    record: Record
    path: str
    sha256: str
    sheet: bytes | None

    @property
    def slug(self) -> str:
        """The run's name on the page."""
        return self.path.rpartition("/")[2].removesuffix(".json")


def source_of(record: Record, sources: Iterable[Source]) -> Source:
    """The file that a record was read from."""
    return next(source for source in sources if source.record is record)


def measured_with(found: Measurement) -> str:
    """What a measurement was made with, as far as others must share it to be compared."""
    shown = {key: _short(found.detail[key]) for key in PROTOCOL if key in found.detail}
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in shown.items())


def _short(value: Any) -> str:
    text = str(value)
    digest = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return f"{text[:SHORT]}…" if digest else text
