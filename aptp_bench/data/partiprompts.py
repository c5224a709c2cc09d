"""PartiPrompts (P2): 1,632 prompts, captions only.

Yu et al., "Scaling Autoregressive Models for Content-Rich Text-to-Image Generation", 2022, arXiv:2206.10789.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from aptp_bench.contracts.base import PluginConfig
from aptp_bench.contracts.dataset import DatasetPlugin
from aptp_bench.core.documents import EXECUTION
from aptp_bench.core.files import content
from aptp_bench.core.texts import decoded, flaw
from aptp_bench.data import table
from aptp_bench.errors import DataError

if TYPE_CHECKING:
    import datasets

AGAIN = "download PartiPrompts.tsv again"
COLUMNS = ("Prompt", "Category", "Challenge")


class PartiPrompts(DatasetPlugin):
    """PartiPrompts from its published TSV file. Captions only."""

    name = "partiprompts-full"
    world = "paper"
    captions_only = True
    splits = ("val",)

    class Config(PluginConfig):
        """Where the file is."""

        path: Path = Field(
            Path("data/PartiPrompts.tsv"),
            description="TSV file with Prompt, Category, Challenge",
            json_schema_extra=EXECUTION,
        )

    config: Config

    def load(self, split: str = "val", limit: int | None = None) -> datasets.Dataset:
        """The first `limit` prompts. Columns: caption, category, challenge. Raises DataError if the file is odd."""
        table.check_split(self, split)
        rows = read(self.config.path)
        rows = rows[: table.first(limit, len(rows))]
        return table.of_prompts(*([row[column] for row in rows] for column in COLUMNS))


def read(path: Path) -> list[dict[str, str]]:
    """The rows of the TSV file by column. Raises DataError naming the file and the line."""
    try:
        text = decoded(content(path), str(path), AGAIN)
        # The prompts hold bare quotation marks, which are text and never a quoting.
        table = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
        _check_columns(path, list(table.fieldnames or []))
        rows = [(table.line_num, row) for row in table]
    except FileNotFoundError as err:
        raise DataError(f"{path} is missing; download PartiPrompts.tsv and set dataset_config.path") from err
    except (OSError, csv.Error) as err:
        raise DataError(f"{path} is not a TSV file ({err}); {AGAIN}") from err
    for line, row in rows:
        if None in row or not all(row.get(column) for column in COLUMNS):
            raise DataError(f"{path} line {line}: expected columns {', '.join(COLUMNS)}, as line 1 has them; {AGAIN}")
        if wrong := flaw(row["Prompt"]):
            raise DataError(f"{path} line {line}: its prompt {wrong}; {AGAIN}")
    if not rows:
        raise DataError(f"{path} holds no prompt; {AGAIN}")
    return [row for _, row in rows]


def _check_columns(path: Path, names: list[str]) -> None:
    if any(names.count(column) != 1 for column in COLUMNS):
        raise DataError(f"{path} line 1: expected columns {', '.join(COLUMNS)}, with tabs between; {AGAIN}")
