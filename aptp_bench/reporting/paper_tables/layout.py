"""A filled table as text in cells, the same for every format: what is printed, beside it what was measured, and notes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from aptp_bench.core.recipe import World
from aptp_bench.reporting.numbers import significant
from aptp_bench.reporting.paper_tables.filled import NOT_RUN, Cell, CellValue, FilledTable, Line
from aptp_bench.reporting.paper_tables.published import QUALIFIER, PublishedColumn
from aptp_bench.reporting.paper_tables.readings import WORLDS, Reading, readings
from aptp_bench.reporting.worlds import NAMES

TAGS: dict[World, str] = {"paper": "ours", "mini": "mini", "smoke": "smoke"}
ARROWS = {"higher": "\N{NO-BREAK SPACE}↑", "lower": "\N{NO-BREAK SPACE}↓", None: ""}
NOTHING, OURS = "–", "ours"
BEATEN, HOW = " †", "in pairs where replicates were kept; p ≤ 5 % after Holm over the column's pairs"
WORDS = re.compile(r"[^\W\d_]{2}")
MINI = "numbers of the mini world can be compared with one another, not with published ones"


@dataclass(frozen=True)
class Note:
    """A line below a table, and the command that it ends with if it has one."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class Group:
    """Columns of one origin: what the paper prints, or ours of one world.

    cells: a line's texts, one a heading. Lines of a text, a heading's too, stand below one another where there is room.
    """

    title: str
    headings: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    world: World | None = None

    @property
    def texts(self) -> tuple[bool, ...]:
        """Which columns hold words rather than numbers."""
        columns = zip(*self.cells, strict=True)
        return tuple(all(text == NOTHING or WORDS.search(text.split("\n")[0]) for text in column) for column in columns)


@dataclass(frozen=True)
class Sheet:
    """A table as it is laid out. labels: a line's name and, below it where there is room, how the paper made it."""

    id: str
    name: str
    title: str
    labels: tuple[str, ...]
    groups: tuple[Group, ...]
    notes: tuple[Note, ...]


def lay_out(filled: FilledTable) -> Sheet:
    """The table's sheet."""
    table, maker = filled.table, _Maker(filled)
    labels = tuple("\n".join(filter(None, (line.label, OURS if line.ours else line.setting))) for line in filled.lines)
    worlds = [world for world in WORLDS if any(world in cell.ours for line in filled.lines for cell in line.cells)]
    groups = (maker.published(), *(maker.measured(world) for world in worlds))
    return Sheet(table.id, table.name, table.title, labels, groups, tuple(maker.notes()))


@dataclass(frozen=True)
class _Maker:
    """The parts of one sheet."""

    filled: FilledTable

    @cached_property
    def reasons(self) -> list[str]:
        """Why cells cannot be filled, in the order in which notes number them."""
        found = (found for line in self.filled.lines for cell in line.cells for found in cell.ours.values())
        return list(dict.fromkeys(each.reason for each in found if each.reason))

    def published(self) -> Group:
        """The paper's own columns; signs stand in front of their numbers."""
        columns = [column for column in self.filled.table.columns if not column.key.endswith(QUALIFIER)]
        cells = [tuple(_printed(line, column) for column in columns) for line in self.filled.lines]
        headings = tuple(map(_heading, columns))
        return Group(f"Published ({self.filled.table.name})", headings, tuple(cells))

    def measured(self, world: World) -> Group:
        """Our columns of one world; one column that says so where nothing was run."""
        title = f"Ours, {NAMES[world]}"
        columns = [cell.column for cell in self.filled.lines[0].cells if world in cell.ours]
        if not any(found.summary or found.text not in ("", NOT_RUN) for _, found in self._found(world)):
            whole = [(self._text(cells[0].ours[world]),) if cells else (NOTHING,) for cells in self._rows(world)]
            return Group(title, (title[0].lower() + title[1:],), tuple(whole), world)
        headings = [self._our_heading(column, world) for column in columns]
        cells = [(*(self._text(cell.ours[world]) for cell in row), _seeds(row, world)) for row in self._rows(world)]
        return Group(title, (*headings, f"seeds\n{TAGS[world]}"), tuple(cells), world)

    def notes(self) -> Iterator[Note]:
        """What the paper says, what ours are, what is missing and why."""
        yield Note(f"Published: {self.filled.table.notes}")
        if self.filled.about:
            yield Note(f"Ours: {self.filled.about}")
        for world in WORLDS:
            yield from self._about(world)
        for place, reason in enumerate(self.reasons, start=1):
            yield Note(f"[{place}] cannot be run here: {reason}.")

    def _about(self, world: World) -> Iterator[Note]:
        found = [(column, each) for column, each in self._found(world)]
        if known := [(column, each.summary) for column, each in found if each.summary]:
            counts: dict[str, set[int]] = {}
            for column, each in known:
                counts.setdefault(self._reading(column, world).label or column.label, set()).add(each.n)
            basis = sorted({each.basis for _, each in known if each.interval})
            behind = "; ".join(f"{label} {_range(n)}" for label, n in counts.items())
            spread = f" [95 % interval over {' / '.join(basis)}]" if basis else ""
            spread += " (difference to the published number, as a share of it)" if world == "paper" else ""
            warning = f"; {MINI}" if world == "mini" else ""
            yield Note(f"{NAMES[world].capitalize()}: mean over seeds{spread}; n behind a number: {behind}{warning}.")
            if any(each.beaten for _, each in found):
                yield Note(f"{BEATEN.strip()} another row is better beyond doubt for no more MACs ({HOW}).")
            if world == "paper":
                yield from self._apart()
        if any(each.text == NOT_RUN for _, each in found):
            yield Note(f"{NOT_RUN.capitalize()} yet, {NAMES[world]}; what runs it:", self.filled.commands[world])

    def _apart(self) -> Iterator[Note]:
        for column in self.filled.table.columns:
            if (own := readings(self.filled.table.id).get(column.key)) and own["paper"].apart:
                yield Note(f"No difference for {column.label}: {own['paper'].apart}.")

    def _rows(self, world: World) -> list[list[Cell]]:
        return [[cell for cell in line.cells if world in cell.ours] for line in self.filled.lines]

    def _found(self, world: World) -> list[tuple[PublishedColumn, CellValue]]:
        return [(cell.column, cell.ours[world]) for row in self._rows(world) for cell in row]

    def _reading(self, column: PublishedColumn, world: World) -> Reading:
        return readings(self.filled.table.id)[column.key][world]

    def _our_heading(self, column: PublishedColumn, world: World) -> str:
        reading = self._reading(column, world)
        own = {"label": reading.label or column.label, "unit": column.unit if reading.unit is None else reading.unit}
        return f"{_heading(column.model_copy(update=own))}\n{TAGS[world]}"

    def _text(self, found: CellValue) -> str:
        """A cell of ours: value [interval]; the second number; (difference, relative)."""
        if found.reason:
            return f"[{self.reasons.index(found.reason) + 1}]"
        if found.summary is None:
            return found.text
        low_high = found.summary.interval
        parts = [f"{significant(found.summary.value)}{BEATEN if found.beaten else ''}"]
        parts += [f"[{significant(low_high[0], 3)}, {significant(low_high[1], 3)}]"] if low_high else []
        parts += [found.beside] if found.beside else []
        if gap := found.difference:
            relative = "" if gap.relative is None else f", {gap.relative:+.1%}".replace("%", " %")
            parts += [f"({'+' if gap.absolute >= 0 else '-'}{significant(abs(gap.absolute), 3)}{relative})"]
        return "\n".join(parts)


def _heading(column: PublishedColumn) -> str:
    """Label and direction, and the unit below them."""
    return "\n".join(filter(None, (f"{column.label}{ARROWS[column.better]}", column.unit)))


def _printed(line: Line, column: PublishedColumn) -> str:
    values = {cell.column.key: cell.column.printed(cell.published) for cell in line.cells}
    sign = values.get(f"{column.key}{QUALIFIER}", "")
    return f"{sign} {values[column.key]}".strip() or NOTHING


def _seeds(row: Sequence[Cell], world: World) -> str:
    found = [cell.ours[world].summary for cell in row]
    seeds = {each.seeds for each in found if each}
    return _range(seeds) if seeds else NOTHING


def _range(counts: set[int]) -> str:
    return str(min(counts)) if len(counts) == 1 else f"{min(counts)}–{max(counts)}"
