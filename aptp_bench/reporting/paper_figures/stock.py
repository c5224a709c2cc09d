"""What one figure is drawn from: the rows of its suites with their records, or what would make them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from aptp_bench.core.recipe import Recipe, World
from aptp_bench.errors import ConfigError, FigureError
from aptp_bench.harness.run_folder import RunFolder
from aptp_bench.harness.suite import DEFAULT_SCALE, Suite, shipped
from aptp_bench.records import Measurement, Record
from aptp_bench.reporting.paper_figures.catalog import PaperFigure
from aptp_bench.reporting.paper_figures.shelf import Shelf
from aptp_bench.reporting.ranking.entries import Entry, question
from aptp_bench.reporting.worlds import NAMES

MANY = 4  # missing rows, from which on a command names none of them


@dataclass(frozen=True)
class Item:
    """A row of a suite. entry: its records, None if it was not run; runs: their folders, where the figure needs them."""

    label: str
    recipe: Recipe
    entry: Entry | None
    runs: tuple[RunFolder, ...] = ()

    @property
    def records(self) -> tuple[Record, ...]:
        """One a seed."""
        return self.entry.records if self.entry else ()

    def of(self, metric: str) -> list[Measurement]:
        """The measurements of a metric, one a seed."""
        return self.entry.of(metric) if self.entry else []


@dataclass(frozen=True)
class Part:
    """The rows of one suite that a figure is drawn from."""

    suite: str
    dataset: str
    scale: World
    items: tuple[Item, ...]

    @property
    def missing(self) -> list[str]:
        """Labels of rows that were not run."""
        return [item.label for item in self.items if item.entry is None]

    @property
    def command(self) -> str:
        """What runs the rows that are missing; all of them where they are many, as what is done is read and not redone."""
        words = ["aptp-bench", "suite", self.suite]
        words += ["--scale", self.scale] if "/" not in self.suite and self.scale != DEFAULT_SCALE else []
        some = self.missing if len(self.missing) < min(len(self.items), MANY) else []
        return shlex.join([*words, *(word for label in some for word in ("--only", label))])


@dataclass(frozen=True)
class Stock:
    """A figure, and the parts that it is drawn from."""

    figure: PaperFigure
    parts: tuple[Part, ...]

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """The rows of all parts."""
        return tuple(item for part in self.parts for item in part.items)

    @property
    def missing(self) -> list[str]:
        """Labels of rows that were not run."""
        return [label for part in self.parts for label in part.missing]

    @property
    def command(self) -> str:
        """What makes the data that is missing."""
        return " && ".join(part.command for part in self.parts if part.missing) or self.again

    @property
    def again(self) -> str:
        """What makes all of the data."""
        return " && ".join(Part(p.suite, p.dataset, p.scale, ()).command for p in self.parts)

    @property
    def title(self) -> str:
        """What is seen, of which data, model and world, and over which seeds."""
        uneven = len({frozenset(record.what.seed for record in item.records) for item in self.items}) > 1
        every = [record for item in self.items for record in item.records]
        return self._titled(every, " (of some rows fewer)" if uneven else "")

    @property
    def title_of_one(self) -> str:
        """The same for a figure that shows the first seed of each row."""
        return self._titled([record for item in self.items for record in item.records[:1]])

    @property
    def draws(self) -> str:
        """What draws the figure."""
        scale = self.parts[0].scale
        return self.figure.command + ("" if scale == DEFAULT_SCALE else f" --scale {scale}")

    @property
    def note(self) -> str:
        """How to get the figure again."""
        return f"{self.figure.name}. Again: {self.again} && {self.draws}"

    def _titled(self, shown: Sequence[Record], remark: str = "") -> str:
        seeds = sorted({record.what.seed for record in shown})
        said = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        where = " and ".join(dict.fromkeys(part.dataset for part in self.parts))
        what = self.items[0].recipe
        return f"{self.figure.title}\n{where}, {what.model}, {said}{remark}: {NAMES[what.scale]}"


@dataclass(frozen=True)
class Lack:
    """Why a figure cannot be drawn. command: what would make its data; empty where nothing does."""

    why: str
    command: str = ""


def stocked(figure: PaperFigure, shelf: Shelf, scale: World) -> Stock:
    """What a figure is drawn from. Raises FigureError with what is missing, and what makes it, in one line."""
    found = sought(figure, shelf, scale)
    if isinstance(found, Stock):
        return found
    if not found.command:
        raise FigureError(f"{figure.name} cannot be made: {found.why}")
    raise FigureError(f"{figure.name} {found.why}; make it: {found.command}")


def sought(figure: PaperFigure, shelf: Shelf, scale: World) -> Stock | Lack:
    """The first of a figure's alternatives that is whole; else what lacks of the first that can be run here."""
    if figure.reason:
        return Lack(figure.reason)
    found = list(_alternatives(figure, shelf, scale))
    if not found:
        return Lack(_why_no_suite(figure, scale))
    stock = next((each for each in found if not each.missing), found[0])
    if not stock.missing:
        return stock
    what = "has no run" if figure.stages else "has no record"
    named = ", ".join(f"'{label}'" for label in stock.missing[:3]) + (", …" if len(stock.missing) > 3 else "")
    return Lack(f"{what} of {named}", stock.command)


def suite_of(name: str, scale: World) -> str | None:
    """How a suite of the catalogue is called at a scale: a table's own name, else that in the scale's folder; None: no such."""
    known = shipped()
    return next((each for each in (name, f"{scale}/{name}") if each in known), None)


def _alternatives(figure: PaperFigure, shelf: Shelf, scale: World) -> Iterator[Stock]:
    for names in figure.suites:
        found = [suite_of(name, scale) for name in names]
        known = [name for name in found if name is not None]
        if len(known) < len(names):
            continue
        parts = tuple(part for name in known if (part := _part(figure, name, shelf, scale)).items)
        if len(parts) == len(names):
            yield Stock(figure, parts)


def _part(figure: PaperFigure, name: str, shelf: Shelf, scale: World) -> Part:
    suite = Suite.load(name, scale)
    recipes = {run.label: run.recipe for run in suite.runs() if not figure.rows or run.label in figure.rows}
    answers = shelf.answers({label: question(each) for label, each in recipes.items()}, figure.stages)
    items = []
    for label, recipe in recipes.items():
        entry = answers.get(label)
        runs = tuple(map(shelf.run_of, entry.records)) if entry and figure.stages else ()
        items.append(Item(label, recipe, entry, runs))
    return Part(name, suite.dataset, scale, tuple(items))


def _why_no_suite(figure: PaperFigure, scale: World) -> str:
    return f"no suite makes its data at scale {scale}; see benchmarks/{DEFAULT_SCALE} for one to write it by"


def only(items: Sequence[Item]) -> Item:
    """The one row of a figure that has one. Raises ConfigError if there are others."""
    if len(items) != 1:
        raise ConfigError(f"this figure is of one row, not of {len(items)}; name it under `rows` in its catalogue")
    return items[0]
