"""What can be drawn and printed now, what needs which suite, and what cannot be made and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from aptp_bench.core.documents import Frozen
from aptp_bench.core.recipe import World
from aptp_bench.harness.suite import Suite
from aptp_bench.reporting.paper_figures.catalog import catalog
from aptp_bench.reporting.paper_figures.shelf import Shelf
from aptp_bench.reporting.paper_figures.stock import Stock, sought
from aptp_bench.reporting.paper_tables.filled import command
from aptp_bench.reporting.paper_tables.prompts import prompt_lists
from aptp_bench.reporting.paper_tables.published import PublishedTable, published
from aptp_bench.reporting.ranking.entries import question


class Status(Frozen):
    """A figure or a table. command: what draws it if it is ready, else what makes its data; why: why it is not ready."""

    id: str
    kind: Literal["figure", "table"]
    name: str
    title: str
    state: Literal["ready", "needs", "cannot"]
    command: str = ""
    why: str = ""


def statuses(shelf: Shelf, scale: World) -> list[Status]:
    """Every figure and every table of the papers, in their order."""
    return [*_figures(shelf, scale), *_tables(shelf, scale)]


def _figures(shelf: Shelf, scale: World) -> Iterator[Status]:
    for figure in catalog().values():
        found = sought(figure, shelf, scale)
        own: dict[str, Any] = {"id": figure.id, "kind": "figure", "name": figure.name, "title": figure.title}
        if isinstance(found, Stock):
            yield Status(**own, state="ready", command=found.draws)
        else:
            yield Status(**own, state="needs" if found.command else "cannot", command=found.command, why=found.why)


def _tables(shelf: Shelf, scale: World) -> Iterator[Status]:
    for table in published().values():
        yield _table(table, shelf, scale)
    for each in prompt_lists().values():
        own: dict[str, Any] = {"id": each.id, "kind": "table", "name": each.name, "title": each.title}
        yield Status(**own, state="ready", command=f"aptp-bench tables {each.id}")


def _table(table: PublishedTable, shelf: Shelf, scale: World) -> Status:
    """A table is printed whatever was run; it is ready once each row that can be run was."""
    suite = Suite.load(table.id, scale)
    asked = {run.label: question(run.recipe) for run in suite.runs()}
    missing = [label for label, key in asked.items() if key not in shelf.questions]
    facts: dict[str, Any] = {"id": table.id, "kind": "table", "name": table.name, "title": table.title}
    if not asked:
        return Status(**facts, state="cannot", why=next(iter(suite.left_out.values())))
    if missing:
        why = f"{len(missing)} of {len(asked)} rows have no record in results"
        return Status(**facts, state="needs", command=f"{command(table, suite)} --results-dir results", why=why)
    return Status(**facts, state="ready", command=f"aptp-bench tables {table.id}")
