"""What was run and can still be read: records that were submitted, and runs with their stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from aptp_bench.errors import ConfigError
from aptp_bench.harness.run_folder import FILE, RunFolder
from aptp_bench.records import Record, run_name
from aptp_bench.reporting.ranking.entries import Entry, entries, question

Digests = tuple[str | None, ...]  # digests of the weights and of the data: what a comparison must have in common


@dataclass(frozen=True)
class Shelf:
    """Records by where they come from. runs: by the name of their folder."""

    records: tuple[Record, ...]
    runs: Mapping[str, RunFolder] = field(default_factory=dict)
    _found: dict[tuple[str, ...], list[tuple[str, Entry]]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, records: Iterable[Record], runs_dir: Path, say: Callable[[str], None]) -> Shelf:
        """The records at hand and every run under `runs_dir`; a run that cannot be read is said."""
        runs: dict[str, RunFolder] = {}
        for path in sorted(runs_dir.glob(f"*/{FILE}")):
            try:
                runs[path.parent.name] = RunFolder.load(path.parent)
            except ConfigError as err:
                say(f"left out: {err}")
        return cls(tuple(records), runs)

    def answers(self, asked: Mapping[str, str], stages: Sequence[str] = ()) -> dict[str, Entry]:
        """Row -> its records, a seed each, all of the same weights and data: of those that most rows were run with.

        asked: the question that each row asks (see `question`). stages: those that a row's runs must still have, which
        records without a run have not.
        """
        found: dict[str, list[Entry]] = {}
        for key, entry in self._entries(tuple(stages)):
            found.setdefault(key, []).append(entry)
        rows = {row: found.get(key, []) for row, key in asked.items()}
        common = _most(rows.values())
        best = {row: [each for each in among if world(each.first) == common] for row, among in rows.items()}
        return {row: max(among, key=lambda each: len(each.records)) for row, among in best.items() if among}

    def run_of(self, record: Record) -> RunFolder:
        """The folder of the run that left a record. Raises ConfigError if it is not there."""
        name = run_name(record.what)
        if name not in self.runs:
            raise ConfigError(f"the run {name} is not there; run again: {record.how.command}")
        return self.runs[name]

    @cached_property
    def questions(self) -> frozenset[str]:
        """What the records answer."""
        return frozenset(question(record.what) for record in self.records)

    def _entries(self, stages: tuple[str, ...]) -> list[tuple[str, Entry]]:
        """Entries with the question that each answers, found once for every figure that needs these stages."""
        if stages not in self._found:
            self._found[stages] = [(question(e.first.what), e) for e in entries(self._candidates(stages))]
        return self._found[stages]

    def _candidates(self, stages: Sequence[str]) -> list[Record]:
        whole = [run.record for run in self.runs.values() if all(_has(run, stage) for stage in stages)]
        return whole if stages else [*self.records, *whole]


def world(record: Record) -> Digests:
    """The digests by which two records are of the same weights and data."""
    return tuple(record.how.digests.get(name) for name in ("model", "train", "val"))


def _most(rows: Iterable[Sequence[Entry]]) -> Digests | None:
    """The weights and data that most rows were run with, the latest among equals."""
    counts = Counter(each for row in rows for each in {world(entry.first): None for entry in row})
    return max(reversed(counts), key=lambda each: counts[each]) if counts else None


def _has(run: RunFolder, stage: str) -> bool:
    try:
        return run.stage(stage).is_dir()
    except ConfigError:
        return False
