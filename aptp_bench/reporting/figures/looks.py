"""How a method looks: one colour and one marker, the same in every figure and on every page, whoever else is drawn."""

from __future__ import annotations

from collections.abc import Iterable

from aptp_bench import registry
from aptp_bench.reporting.figures.style import COLOURS, MARKERS
from aptp_bench.reporting.ranking.entries import Entry

Look = tuple[str, str]  # colour, matplotlib's letter of a marker

# Okabe and Ito's colours and four more that keep away from them, each seen on white and on near black; pale yellow last.
PALETTE = (*COLOURS[:6], "#8B5A2B", "#6A51A3", "#999933", "#C51B7D", COLOURS[6])
SHAPES = (*MARKERS[:-1], "<", ">", "p")
REFERENCE: Look = (COLOURS[-1], MARKERS[-1])  # of the network as it is
OURS = "aptp-bench"


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """Of methods by name: the suite's own have fixed places, others come after them by name."""
    ours = [name for name, found in registry.plugins("methods").items() if found.provider == OURS]
    ours.sort(key=lambda name: bool(registry.get("methods", name).published_as))  # weights made elsewhere come last
    wanted = sorted(set(methods))
    order = [*ours, *(name for name in wanted if name not in ours)]
    return {name: _look(order.index(name)) for name in wanted}


def looks_of(entries: Iterable[Entry]) -> dict[str, Look]:
    """Of the methods of entries; the network as it is has a look of its own."""
    among = list(entries)
    references = {entry.method for entry in among if entry.kind == "reference"}
    return {**looks(entry.method for entry in among), **dict.fromkeys(sorted(references), REFERENCE)}


def _look(place: int) -> Look:
    turn, at = divmod(place, len(PALETTE))
    return PALETTE[at], SHAPES[(at + turn) % len(SHAPES)]
