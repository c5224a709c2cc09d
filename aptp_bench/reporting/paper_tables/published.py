"""What the papers print: `results/reference/paper_tables.json`, read as it is and never changed."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import StrictFloat, StrictInt, StrictStr, model_validator

from aptp_bench.core.documents import Frozen, nearest
from aptp_bench.errors import ConfigError

PrintedValue = (
    StrictInt | StrictFloat | StrictStr | tuple[StrictStr, ...] | None
)  # None: the paper prints nothing there
QUALIFIER = "_qualifier"  # a column of this name holds the sign in front of another column's numbers


class PublishedColumn(Frozen):
    """One column: its name in the file, its heading, and how its numbers are printed."""

    key: str
    label: str
    unit: str | None
    better: Literal["higher", "lower"] | None
    decimals: int | None = None  # None: as many as the number has
    train_steps: int | None = None

    def printed(self, value: PrintedValue) -> str:
        """A value as the paper prints it; empty where it prints nothing."""
        if isinstance(value, float | int) and self.decimals is not None:
            return f"{value:.{self.decimals}f}"
        if isinstance(value, tuple):
            return ", ".join(value)
        return "" if value is None else str(value)


class PublishedRow(Frozen):
    """One line: `values` has the table's columns, `facts` what else the paper says of the row."""

    key: str  # names the row in its table
    method: str
    label: str
    finetune_steps: int | None
    budget: float | None
    values: dict[str, PrintedValue]
    facts: dict[str, Any]

    @property
    def setting(self) -> str:
        """What the paper says of how the row was made, beside its label: length of fine-tuning, experts, budget."""
        experts = self.facts.get("n_experts")
        said = ((self.finetune_steps, "{} steps"), (experts, "{} experts"), (self.budget, "budget {}"))
        return ", ".join(words.format(value) for value, words in said if value is not None)


class PublishedTable(Frozen):
    """One table of a paper."""

    id: str
    title: str
    source: str
    dataset: str | None
    eval_dataset: str | None = None
    notes: str
    columns: tuple[PublishedColumn, ...]
    rows: tuple[PublishedRow, ...]

    @model_validator(mode="before")
    @classmethod
    def _sorted_out(cls, document: Any) -> Any:
        """Rows of the file with their columns in a mapping, and a key each."""
        columns = [column["key"] for column in document["columns"]]
        times = Counter(row["label"] for row in document["rows"])
        return {**document, "rows": [_row(row, columns, times[row["label"]] > 1) for row in document["rows"]]}

    @classmethod
    def get(cls, name: str) -> PublishedTable:
        """The table of an id such as aptp_1b, or of the end of one that no other has, such as 1b. Raises ConfigError."""
        known = published()
        asked = name.lower().replace("-", "_")
        found = [id for id in known if id == asked] or [id for id in known if id.endswith(f"_{asked}")]
        if len(found) == 1:
            return known[found[0]]
        near = found or nearest(asked, known)
        hint = f"did you mean {' or '.join(near)}?" if near else f"tables are {', '.join(known)}"
        raise ConfigError(f"there is no published table '{name}'; {hint}")

    @property
    def name(self) -> str:
        """For example "APTP, Table 1b"."""
        return f"{self.source}, Table {self.id.rpartition('_')[2]}"


@cache
def published() -> dict[str, PublishedTable]:
    """Every published table by its id, in the order of the file."""
    text = files("aptp_bench.reference").joinpath("paper_tables.json").read_text(encoding="utf-8")
    return {id: PublishedTable.model_validate({"id": id, **table}) for id, table in json.loads(text).items()}


def _row(row: dict[str, Any], columns: list[str], twice: bool) -> dict[str, Any]:
    """key: the label, and the steps of fine-tuning where two rows have one label."""
    own = {name: row[name] for name in ("method", "label", "finetune_steps", "budget")}
    key = f"{row['label']} @ {row['finetune_steps']}" if twice else row["label"]
    if missing := [name for name in columns if name not in row]:
        raise ValueError(f"row '{key}' lacks column '{missing[0]}'")
    values = {name: row[name] for name in columns}
    facts = {name: value for name, value in row.items() if name not in own and name not in values}
    return {**own, "key": key, "values": values, "facts": facts}
