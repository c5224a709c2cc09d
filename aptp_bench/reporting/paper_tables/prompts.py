"""The prompts that the papers print: `results/reference/prompt_lists.json`, and as a table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from aptp_bench.core.documents import Frozen
from aptp_bench.reporting.paper_tables.filled import Cell, FilledTable, Line
from aptp_bench.reporting.paper_tables.published import PublishedTable


class PromptList(Frozen):
    """A table of prompts: by the data set that they are of, spelt as printed. figure: the figure that shows their images."""

    id: str
    number: str
    title: str
    source: str
    notes: str
    figure: str
    sets: dict[str, tuple[str, ...]]

    @property
    def name(self) -> str:
        """For example "APTP, Table 8"."""
        return f"{self.source.partition(',')[0]}, Table {self.number}"

    def filled(self) -> FilledTable:
        """As a table, which has no numbers to measure."""
        heads = {"dataset": "Data set", "prompt": "Prompt"}
        facts: dict[str, Any] = {
            "id": self.id,
            "title": self.title,
            "source": self.source.partition(",")[0],
            "dataset": None,
            "rows": [],
        }
        facts["notes"] = f"{self.source}. {self.notes} Their images: aptp-bench figures {self.figure}"
        facts["columns"] = [{"key": key, "label": label, "unit": None, "better": None} for key, label in heads.items()]
        table = PublishedTable.model_validate(facts)
        of, said = table.columns
        lines = [
            Line(str(place), "", (Cell(of, dataset, {}), Cell(said, prompt, {})))
            for dataset, prompts in self.sets.items()
            for place, prompt in enumerate(prompts, start=1)
        ]
        return FilledTable(table, "", tuple(lines), {})


@cache
def prompt_lists() -> Mapping[str, PromptList]:
    """Every list by its id."""
    text = files("aptp_bench.reference").joinpath("prompt_lists.json").read_text(encoding="utf-8")
    return {id: PromptList.model_validate({"id": id, **facts}) for id, facts in json.loads(text).items()}


def places(wanted: Iterable[str], captions: Iterable[str]) -> list[int]:
    """Where the prompts that are wanted stand among captions; those that are not there are left out.

    Case, spaces, quotation marks and full stops, in which the papers differ from the data sets, do not count.
    """
    at = {_letters(caption): place for place, caption in reversed(list(enumerate(captions)))}
    return [at[key] for key in map(_letters, wanted) if key in at]


def _letters(text: str) -> str:
    return re.sub(r"[^\w]+", "", text.casefold())
