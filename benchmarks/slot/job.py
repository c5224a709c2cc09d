"""What a job is: pieces that are each written whole, and a table of what they came to."""

from __future__ import annotations

import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from aptp_bench.cli.view import line, plain_table, titled, wide_console
from aptp_bench.core.files import write_json
from aptp_bench.core.progress import Progress
from aptp_bench.core.slot import Piece

Facts = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a job is done. out: its results; on: the device of the table that is predicted for, where nothing is done."""

    device: torch.device
    out: Path
    progress: Progress
    command: str
    smallest: bool = False
    on: str | None = None


class Job(ABC):
    """One job at one place."""

    def __init__(self, place: Place) -> None:
        self.place = place

    @abstractmethod
    def pieces(self) -> Sequence[Piece]:
        """All of them in their order, the most informative first; what was done before takes no time."""

    @abstractmethod
    def show(self) -> None:
        """The table of what there is so far. Raises SuiteError if a piece failed."""


@dataclass
class Ledger:
    """Results of pieces, a JSON document each, and how long each kind of piece took here."""

    folder: Path
    took: dict[str, float] = field(default_factory=dict)

    def piece(self, name: str, kind: str, guess: float, measure: Callable[[], Facts]) -> Piece:
        """A piece that leaves what `measure` returns. guess: seconds that its kind takes, until one was done."""

        def run() -> None:
            if self.of(name) is None:
                start = time.monotonic()
                found = measure()
                self.took[kind] = time.monotonic() - start
                write_json(self._path(name), {"piece": name, "kind": kind, "seconds": self.took[kind], **found})

        def expected() -> float:
            return 0.0 if self.of(name) is not None else self.took.get(kind, self._before(kind) or guess)

        return Piece(name, run, expected)

    def of(self, name: str) -> Facts | None:
        """What a piece left, None if it was not done."""
        path = self._path(name)
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def rows(self) -> list[Facts]:
        """What all pieces left, by name."""
        return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(self.folder.glob("*.json"))]

    def _before(self, kind: str) -> float | None:
        """Seconds that such a piece took in an earlier slot."""
        return max((row["seconds"] for row in self.rows() if row["kind"] == kind), default=None)

    def _path(self, name: str) -> Path:
        return self.folder / (re.sub(r"[^a-z0-9.]+", "_", name.lower()).strip("_") + ".json")


def show_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *notes: str) -> None:
    """A table on stdout, and lines under it."""
    console, shown = wide_console(), plain_table(columns)
    for row in rows:
        shown.add_row(*row)
    titled(console, title, shown)
    for note in notes:
        line(console, note)
