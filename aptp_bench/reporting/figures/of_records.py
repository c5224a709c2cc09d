"""Quality against cost over all records: a figure for each contest, metric and cost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from matplotlib.figure import Figure

from aptp_bench.budget import CONVENTIONS
from aptp_bench.errors import ConfigError
from aptp_bench.records import Record
from aptp_bench.reporting.figures.pareto import pareto
from aptp_bench.reporting.ranking.entries import entries, metric_names
from aptp_bench.reporting.ranking.groups import Contest, contests

COUNTED = CONVENTIONS[0]  # MACs as they are executed, in which methods are compared
UNSAFE = re.compile(r"[^\w.]+")


def paretos(records: Iterable[Record], only: Sequence[str] = ()) -> Iterator[tuple[str, Figure]]:
    """(name, figure) of every quality metric against the exact MACs and against each cost that a device has measured.

    only: names, or parts of names between hyphens, of the figures to draw; all if empty. Metrics and costs that fewer
    than two entries share are left out.
    """
    for number, contest in enumerate(contests(entries(records))):
        for metric in _metrics(contest, measured_on_images=True):
            for cost in (COUNTED, *_metrics(contest, measured_on_images=False)):
                name = _name(number, contest, metric, cost)
                if only and not set(only) & {name, *name.split("-")}:
                    continue
                try:
                    yield name, pareto(contest.entries, metric, cost)
                except ConfigError:
                    continue  # nobody has both


def _metrics(contest: Contest, measured_on_images: bool) -> list[str]:
    """Qualities, which a network reads off images, or costs, which a device showed and of which less is better."""
    found = []
    for name in metric_names(contest.entries):
        first = next(entry.of(name)[0] for entry in contest.entries if entry.of(name))
        quality = "backbone" in first.detail
        cost = "device" in first.detail and first.better == "lower"
        if quality if measured_on_images else cost and not quality:
            found.append(name)
    return found


def _name(number: int, contest: Contest, metric: str, cost: str) -> str:
    what = [
        contest.world,
        str(contest.what("dataset")),
        str(contest.what("model")),
        *([str(number + 1)] if number else []),
    ]
    return "-".join(UNSAFE.sub("_", part) for part in ("pareto", *what, metric, cost))
