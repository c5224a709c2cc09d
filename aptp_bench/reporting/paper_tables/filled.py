"""A published table with what was measured here: which records are runs of its rows, and what they say.

A record is a run of a row where everything that decides its numbers is what the row asks for, its seed aside. Mini
numbers stand beside published ones and are never subtracted from them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

from aptp_bench.core.recipe import World
from aptp_bench.harness.suite import DEFAULT_SCALE, Row, Suite
from aptp_bench.records import Measurement, Record
from aptp_bench.reporting.numbers import significant
from aptp_bench.reporting.paper_tables.published import PrintedValue, PublishedColumn, PublishedRow, PublishedTable
from aptp_bench.reporting.paper_tables.readings import NO_WORDS, WORLDS, Reading, readings
from aptp_bench.reporting.ranking.entries import Entry, entries, question
from aptp_bench.reporting.ranking.groups import ComparisonGroup, group_key
from aptp_bench.reporting.ranking.ranking import rule
from aptp_bench.reporting.ranking.spread import SeedSpread, Summary, summary
from aptp_bench.reporting.ranking.tradeoff import beaten

if TYPE_CHECKING:
    from aptp_bench.reporting.ranking.pairs import Kept

NOT_RUN, NOT_MEASURED, NO_EXPERT = "not run", "not measured", "no such expert"


@dataclass(frozen=True)
class Difference:
    """Ours minus the published number, and as a share of the published one (None: that is 0)."""

    absolute: float
    relative: float | None


@dataclass(frozen=True)
class CellValue:
    """What one world has for a cell: a number, words, or why there is neither.

    unit, beside: of the number; beaten: whether another line is better beyond doubt for no more MACs.
    command: what would run it; reason: why nothing can.
    """

    summary: Summary | None = None
    unit: str = ""
    text: str = ""
    command: str = ""
    reason: str = ""
    beside: str = ""
    difference: Difference | None = None
    beaten: bool = False


@dataclass(frozen=True)
class Cell:
    """One number of the paper and ours; `ours` lacks the worlds in which nothing here measures it."""

    column: PublishedColumn
    published: PrintedValue
    ours: Mapping[World, CellValue]


@dataclass(frozen=True)
class Line:
    """One row of the paper, or one of ours (`ours`), which has no published number. setting: what the paper says of it."""

    label: str
    setting: str
    cells: tuple[Cell, ...]
    ours: bool = False


@dataclass(frozen=True)
class FilledTable:
    """A table of a paper beside what was measured here."""

    table: PublishedTable
    about: str
    lines: tuple[Line, ...]
    commands: Mapping[World, str]  # what runs all of it; lacks worlds in which nothing of it can be run


@dataclass(frozen=True)
class Slot:
    """What one row of a suite has to say in one world: its records if it was run. expert: the one of its experts, by cost."""

    row: Row
    entry: Entry | None
    command: str
    expert: int | None = None

    def read(self, reading: Reading) -> list[Measurement | str]:
        """What its records say, one a seed."""
        records = self.entry.records if self.entry else ()
        found = [reading.of(record, self.expert) for record in records]
        return [each for each in found if each is not None]


Slots = Mapping[tuple[str, str | None], Slot]


def fill(table: PublishedTable, records: Iterable[Record], kept: Kept | None = None) -> FilledTable:
    """The table with every record that is a run of one of its rows. kept: the replicates that there are.

    Raises what resolving its suite raises.
    """
    return fill_all([table], records, kept)[0]


def fill_all(
    tables: Sequence[PublishedTable], records: Iterable[Record], kept: Kept | None = None
) -> list[FilledTable]:
    """The same of several tables."""
    answers = _answers(entries(records))
    return [_filled(table, answers, kept) for table in tables]


def _filled(table: PublishedTable, answers: Mapping[str, Entry], kept: Kept | None) -> FilledTable:
    suites = {world: Suite.load(table.id, world) for world in WORLDS}
    slots = {world: _slots(table, suite, answers) for world, suite in suites.items()}
    rows: dict[str, PublishedRow | None] = {row.key: row for row in table.rows}
    rows |= {line: None for line, _ in slots[DEFAULT_SCALE] if line not in rows}  # ours, which the paper has not
    ours = {column.key: _column(table, column, slots, rows, kept or {}) for column in table.columns}
    lines = []
    for key, row in rows.items():
        cells = [Cell(c, row.values[c.key] if row else None, ours[c.key][key]) for c in table.columns]
        lines.append(Line(row.label if row else key, row.setting if row else "", tuple(cells), ours=row is None))
    commands = {
        world: command(table, suite) for world, suite in suites.items() if any(not r.reason for r in suite.rows)
    }
    return FilledTable(table, suites[DEFAULT_SCALE].about, tuple(lines), commands)


def command(table: PublishedTable, suite: Suite, row: Row | None = None) -> str:
    """What runs a row of the table, or all of them."""
    scale = [] if suite.scale == DEFAULT_SCALE else ["--scale", str(suite.scale)]
    return shlex.join(["aptp-bench", "suite", table.id, *scale, *(["--only", row.label] if row else [])])


def _answers(found: Sequence[Entry]) -> dict[str, Entry]:
    """Entries by the question that they answer; where weights or data changed since, the one with most seeds, or the last."""
    best: dict[str, Entry] = {}
    for entry in found:
        key = question(entry.first.what)
        if key not in best or len(entry.records) >= len(best[key].records):
            best[key] = entry
    return best


def _slots(table: PublishedTable, suite: Suite, answers: Mapping[str, Entry]) -> Slots:
    """(line, column or None for all of the line's) -> the suite's row that fills it."""
    asked = {run.label: question(run.recipe) for run in suite.runs()}
    slots: dict[tuple[str, str | None], Slot] = {}
    for row in suite.rows:
        slot = Slot(row, answers.get(asked.get(row.label, "")), command(table, suite, row))
        if row.experts:
            slots |= {(line.key, None): replace(slot, expert=place) for place, line in enumerate(table.rows)}
        else:
            slots[row.published or row.label, row.column] = slot
    return slots


def _column(
    table: PublishedTable,
    column: PublishedColumn,
    slots: Mapping[World, Slots],
    rows: Mapping[str, PublishedRow | None],
    kept: Kept,
) -> dict[str, dict[World, CellValue]]:
    """Line -> what each world has for a column; worlds in which it is not measured are left out."""
    found: dict[str, dict[World, CellValue]] = {line: {} for line in rows}
    for world, reading in readings(table.id).get(column.key, {}).items():
        here = [slots[world].get((line, column.key), slots[world].get((line, None))) for line in rows]
        unit = (column.unit if reading.unit is None else reading.unit) or ""
        # never from a mini number, and only where both say the same thing
        comparable = world == "paper" and not reading.apart and reading.unit in (None, column.unit)
        for (line, row), each in zip(rows.items(), _read(here, reading, kept), strict=True):
            gap = _difference(each, row.values[column.key]) if comparable and row else None
            found[line][world] = replace(each, unit=unit if each.summary else "", difference=gap)
    return found


def _read(slots: Sequence[Slot | None], reading: Reading, kept: Kept) -> list[CellValue]:
    """What one world says of a column, line by line; what seeds do is pooled over the lines."""
    said = [slot.read(reading) if slot else [] for slot in slots]
    numbers = [[each for each in found if isinstance(each, Measurement)] for found in said]
    spread = SeedSpread.of([[each.value for each in found] for found in numbers])
    found = [_found(slot, words, spread, reading) for slot, words in zip(slots, said, strict=True)]
    behind = _beaten(slots, reading, kept)
    return [
        replace(cell, beaten=bool(slot and slot.entry and slot.entry.name in behind))
        for cell, slot in zip(found, slots, strict=True)
    ]


def _beaten(slots: Sequence[Slot | None], reading: Reading, kept: Kept) -> set[str]:
    """The entries of a column of a quality metric that are beaten by another of its lines."""
    part, _, metric = reading.value.partition(".")
    found = {slot.entry.name: slot.entry for slot in slots if slot and slot.entry and slot.expert is None}
    among = [entry for entry in found.values() if part == "results" and entry.of(metric)]
    if len({group_key(entry) for entry in among}) != 1 or not rule(metric, among[0].of(metric)[0].detail).quality:
        return set()
    return beaten(ComparisonGroup(tuple(among), kept), [(entry, entry.macs("exact")) for entry in among], metric)


def _found(slot: Slot | None, said: Sequence[Measurement | str], spread: SeedSpread, reading: Reading) -> CellValue:
    if slot is None or slot.row.reason:
        return CellValue(reason=slot.row.reason if slot else "no row of the suite fills it")
    if slot.entry is None:
        return CellValue(text=NOT_RUN, command=slot.command)
    numbers = [each for each in said if isinstance(each, Measurement)]
    if not numbers:
        kept = next((each for each in said if each != NO_WORDS), said[0] if said else None)
        return CellValue(text=str(kept) if said else NOT_MEASURED if slot.expert is None else NO_EXPERT)
    known = SeedSpread(0.0, 0) if reading.counted else spread  # what a seed does to one count, it does not to another
    return CellValue(summary(numbers, known), beside=_second(slot, reading.beside) if reading.beside else "")


def _second(slot: Slot, reading: Reading) -> str:
    """The number by which another is read, with its unit; mean over seeds."""
    values = [each.value for each in slot.read(reading) if isinstance(each, Measurement)]
    return f"{significant(fmean(values))} {reading.unit or ''}".strip() if values else ""


def _difference(found: CellValue, printed: PrintedValue) -> Difference | None:
    if found.summary is None or not isinstance(printed, int | float):
        return None
    gap = found.summary.value - printed
    return Difference(gap, gap / abs(printed) if printed else None)
