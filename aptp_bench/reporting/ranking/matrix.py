"""Who is ahead of whom on a board, as a table: a row and a column an entry, the network as it is at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aptp_bench.reporting.numbers import rounded
from aptp_bench.reporting.ranking.boards import Board, Column
from aptp_bench.reporting.ranking.entries import Entry
from aptp_bench.reporting.ranking.names import entry_title
from aptp_bench.reporting.ranking.pairs import Pair

SIGNS = {1: "▲", -1: "▼", 0: "·"}  # of an entry that is ahead, behind, neither beyond doubt


@dataclass(frozen=True)
class Cell:
    """An entry (the row's) against another (the column's). standing: 1 ahead, -1 behind, 0 undecided; difference: row's minus column's."""

    pair: Pair
    standing: int
    difference: float


@dataclass(frozen=True)
class Matrix:
    """One metric of a board. cells: [row][column], None on the diagonal. reference: whether the last entry is one."""

    column: Column
    entries: tuple[Entry, ...]
    cells: tuple[tuple[Cell | None, ...], ...]
    reference: bool

    @classmethod
    def of(cls, board: Board, column: Column) -> Matrix:
        """Entries are in the order of the board."""
        among = [row.entry for row in board.of("main") if column.metric in row.places]
        among += [column.beside[0].second] if column.beside else []
        known = {frozenset((p.first.name, p.second.name)): p for p in (*column.pairs, *column.beside)}
        cells = tuple(
            tuple(_cell(one, known.get(frozenset((one.name, other.name)))) for other in among) for one in among
        )
        return cls(column, tuple(among), cells, bool(column.beside))


@dataclass(frozen=True)
class Standings:
    """The matrices of a board, a metric each."""

    board: Board
    matrices: Sequence[Matrix]

    @classmethod
    def of(cls, board: Board, most: int | None = None) -> Standings:
        """most: so many metrics, the first ones; None: all that are read off images and ranked."""
        return cls(board, [Matrix.of(board, column) for column in board.contested[:most]])

    @property
    def entries(self) -> list[Entry]:
        """Who is held against whom."""
        return [row.entry for row in self.board.rows if row.kind in ("reference", "main")]

    def facts(self) -> dict[str, Any]:
        """All that is drawn, as plain data, rounded: the same facts give the same picture."""
        shown = {
            matrix.column.metric: [
                [None if cell is None else [cell.standing, rounded(cell.difference)] for cell in row]
                for row in matrix.cells
            ]
            for matrix in self.matrices
        }
        labels = [[entry_title(entry) for entry in matrix.entries] for matrix in self.matrices]
        what = self.board.group.what
        head = {
            "world": self.board.group.world,
            "dataset": what.dataset,
            "model": what.model,
            "budget": self.board.name,
        }
        return {**head, "entries": labels, "cells": shown}


def _cell(entry: Entry, pair: Pair | None) -> Cell | None:
    return None if pair is None else Cell(pair, *pair.seen_from(entry))
