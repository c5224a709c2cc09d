"""How a column of a published table is read off our records: data in columns.yaml, so that no table needs code."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import TypeAdapter

from aptp_bench.core.documents import Frozen, shipped_yaml
from aptp_bench.core.recipe import World
from aptp_bench.records import Measurement, Record

WORLDS: tuple[World, ...] = ("paper", "mini")  # whose numbers stand in tables
COUNTS = ("macs", "parameters", "expert")
NO_PROMPTS, NO_WORDS = "serves no prompt", "words not kept by this record"


class Reading(Frozen):
    """Where a number of a record is, and how it is said; see columns.yaml."""

    value: str
    interval: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    unit: str | None = None  # None: the published one
    label: str | None = None  # None: the published heading
    beside: Reading | None = None
    apart: str = ""

    def of(self, record: Record, expert: int | None = None) -> Measurement | str | None:
        """The measurement, or words where the column has words; None if the record has none. expert: in order of cost."""
        found = _at(record, self.value, expert)
        if isinstance(found, list):
            return ", ".join(found)
        if isinstance(found, str) or found is None:
            return found
        if not isinstance(found, Measurement):
            found = _plain(record, self.value, found)
        ends = found.interval if self.interval is None else _at(record, self.interval, expert)
        between = None if ends is None else tuple(sorted(self._scaled(end) for end in ends))
        return found.model_copy(update={"value": self._scaled(found.value), "interval": between})

    @property
    def counted(self) -> bool:
        """Whether the number is a count that is exact, as MACs and parameters are."""
        return self.value.partition(".")[0] in COUNTS

    def _scaled(self, value: float) -> float:
        return value * self.scale + self.offset


@cache
def readings(table: str) -> Mapping[str, Mapping[World, Reading]]:
    """The readings of a table's columns by their keys, in each of WORLDS: its own, else those that tables share."""
    text = files("aptp_bench.reporting.paper_tables").joinpath("columns.yaml").read_text(encoding="utf-8")
    document = shipped_yaml(text)
    own = {**document["shared"], **document["tables"].get(table, {})}
    one_for_both = {key: dict.fromkeys(WORLDS, each) if "value" in each else each for key, each in own.items()}
    return TypeAdapter(dict[str, dict[World, Reading]]).validate_python(one_for_both)


def _at(record: Record, path: str, expert: int | None) -> Any:
    """What lies at a dotted path of a record, or of one of its experts; None if nothing does."""
    found: Any = {"results": record.results, "macs": record.macs, "parameters": record.parameters}
    if path.startswith("expert."):
        found = {"expert": _expert(record, expert)}
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else getattr(found, part, None)
    return found


def _plain(record: Record, path: str, value: float) -> Measurement:
    """A number that says nothing of itself: n is that of the result it belongs to, else the evaluation prompts'."""
    part, _, rest = path.partition(".")
    own = record.results.get(rest.partition(".")[0]) if part == "results" else None
    n = own.n if own else max(1, sum(expert.eval_prompts for expert in record.experts))
    return Measurement(value=value, unit="", better="neither", n=n)


def _expert(record: Record, place: int | None) -> dict[str, Any]:
    """An expert's share of the dense MACs by convention, and its words; nothing if there are fewer experts.

    place: by cost, counted as the budget is, as the papers number experts.
    """
    experts = sorted(record.experts, key=lambda expert: expert.macs[record.what.budget.convention])
    if place is None or place >= len(experts):
        return {}
    expert = experts[place]
    ratio = {name: macs / record.macs[name].dense for name, macs in expert.macs.items()}
    return {"ratio": ratio, "words": expert.words or (NO_WORDS if expert.eval_prompts else NO_PROMPTS)}
