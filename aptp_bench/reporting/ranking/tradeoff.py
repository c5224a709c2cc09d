"""Quality against cost: the points of a Pareto plot, their frontier, and what its axes say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aptp_bench.budget import CONVENTIONS, TOLERANCE
from aptp_bench.core.intervals import Interval
from aptp_bench.errors import ConfigError
from aptp_bench.records import Better
from aptp_bench.reporting.numbers import rounded
from aptp_bench.reporting.ranking.entries import Entry
from aptp_bench.reporting.ranking.groups import ComparisonGroup, alike, group_key, measured_alike
from aptp_bench.reporting.ranking.names import ARROWS, title
from aptp_bench.reporting.ranking.pairs import contest
from aptp_bench.reporting.ranking.ranking import rule


@dataclass(frozen=True)
class Point:
    """An entry: x is its cost (a share of the dense MACs, or a metric's value), y its quality; 95 % intervals.

    beaten: whether another is better beyond doubt for no more cost.
    """

    entry: Entry
    x: float
    y: float
    x_interval: Interval | None = None
    y_interval: Interval | None = None
    beaten: bool = False


@dataclass(frozen=True)
class Tradeoff:
    """What a Pareto plot shows. better: of y; less cost is always better. Labels say units and which way is better."""

    points: tuple[Point, ...]
    metric: str
    cost: str
    better: Better
    x_label: str
    y_label: str

    @classmethod
    def of(
        cls, entries: Sequence[Entry], metric: str, cost: str = "exact", pool: ComparisonGroup | None = None
    ) -> Tradeoff:
        """cost: a MAC convention, or a metric such as a time. pool: whose seeds tell the spread; default: the entries.

        Entries without one of the two are left out, and so are those that were measured otherwise than most, on another
        device say. Raises ConfigError if entries are of several worlds, datasets, models or evaluations, or none is left.
        """
        if len({group_key(entry) for entry in entries}) > 1:
            raise ConfigError("entries of several worlds, datasets or evaluations share no plot; plot them apart")
        group = pool or ComparisonGroup(tuple(entries))
        shown = measured_alike(entries, metric)
        shown = shown if cost in CONVENTIONS else measured_alike(shown, cost)
        if not shown:
            raise ConfigError(f"no record has {metric} and {cost}; run one: aptp-bench run --method … --dataset …")
        first = alike(shown[0], metric)[0]
        x_label = f"MACs of an image's U-Net call (share of dense, {cost})"
        if cost not in CONVENTIONS:
            priced = alike(shown[0], cost)[0]
            x_label = f"{title(cost)} ({priced.unit}; {conditions(priced.detail)})"
        way = "" if first.better == "neither" else f", {first.better} is better {ARROWS[first.better]}"
        points = [_point(group, entry, metric, cost) for entry in shown]
        return cls(
            points=_marked(points, group, metric, slack=TOLERANCE if cost in CONVENTIONS else 0.0),
            metric=metric,
            cost=cost,
            better=first.better,
            x_label=f"{x_label}\n← less is better",
            y_label=f"{title(metric)}{f' ({first.unit})' if first.unit else ''}{way}",
        )

    @property
    def entries(self) -> list[Entry]:
        """Whose points there are."""
        return [point.entry for point in self.points]

    @property
    def frontier(self) -> list[Point]:
        """The points that no other beats in both, cheapest first, by their values alone."""
        sign = -1.0 if self.better == "higher" else 1.0
        kept: list[Point] = []
        for point in sorted(self.points, key=lambda p: (p.x, sign * p.y)):
            if not kept or sign * point.y < sign * kept[-1].y:
                kept.append(point)
        return kept

    def facts(self) -> dict[str, Any]:
        """All that is drawn, as plain data, rounded: the same facts give the same picture."""
        first = self.points[0].entry.first
        head = {"world": first.world, "dataset": first.what.dataset, "model": first.what.model}
        axes = {"x": self.x_label, "y": self.y_label, "better": self.better}
        points = [
            {"label": p.entry.label, "method": p.entry.method, "x": rounded(p.x), "y": rounded(p.y)}
            | {"x_interval": p.x_interval and [rounded(end) for end in p.x_interval]}
            | {"y_interval": p.y_interval and [rounded(end) for end in p.y_interval], "seeds": p.entry.seeds}
            | {"budget": p.entry.first.what.budget.model_dump(), "beaten": p.beaten}
            for p in self.points
        ]
        return {**head, **axes, "points": points}


def conditions(detail: Mapping[str, Any]) -> str:
    """Where and how a cost was measured, in words."""
    words = [str(detail[key]) for key in ("device", "dtype") if key in detail]
    counted = [f"{detail[key]} {key}" for key in ("threads", "steps") if detail.get(key) is not None]
    return ", ".join([*words, *counted])


def _marked(points: Sequence[Point], group: ComparisonGroup, metric: str, slack: float) -> tuple[Point, ...]:
    """The points, told which of them are beaten; all their pairs are one family. slack: costs this close are alike."""
    found = beaten(group, [(point.entry, point.x) for point in points], metric, slack)
    return tuple(replace(point, beaten=point.entry.name in found) for point in points)


def beaten(
    group: ComparisonGroup, cost: Sequence[tuple[Entry, float]], metric: str, slack: float = TOLERANCE
) -> set[str]:
    """The names of entries of a group than which another is better beyond doubt for no more cost, measured alike.

    cost: of each of them; slack: costs this close are alike. All their pairs are one family. Empty where nothing is ranked.
    """
    among = [] if group.unranked else measured_alike([entry for entry, _ in cost], metric)
    candidates = [found for entry in among if (found := group.candidate(entry, metric)) is not None]
    if len(candidates) < 2:
        return set()
    pairs = contest(candidates, rule(metric, among[0].of(metric)[0].detail))
    orders = [order for pair in pairs if (order := pair.order)]
    price = {entry.name: each for entry, each in cost}
    return {behind.name for ahead, behind in orders if price[ahead.name] <= price[behind.name] + slack}


def _point(group: ComparisonGroup, entry: Entry, metric: str, cost: str) -> Point:
    quality = group.summary(entry, metric)
    priced = None if cost in CONVENTIONS else group.summary(entry, cost)
    assert quality is not None  # entries without it were left out
    x = entry.macs(cost) if priced is None else priced.value
    return Point(entry, x, quality.value, None if priced is None else priced.interval, quality.interval)
