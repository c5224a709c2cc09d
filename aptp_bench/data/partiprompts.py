"""PartiPrompts (P2): 1,632 prompts, captions only.

Yu et al., "Scaling Autoregressive Models for Content-Rich Text-to-Image Generation", 2022, arXiv:2206.10789.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from aptp_bench.contracts.base import PluginConfig
from aptp_bench.contracts.dataset import DatasetPlugin
from aptp_bench.core.documents import EXECUTION
from aptp_bench.data import table
from aptp_bench.errors import DataError

if TYPE_CHECKING:
    import datasets

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
        with path.open(encoding="utf-8", newline="") as file:
            # The prompts hold bare quotation marks, which are text and never a quoting.
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except FileNotFoundError as err:
        raise DataError(f"{path} is missing; download PartiPrompts.tsv and set dataset_config.path") from err
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise DataError(f"{path} is not a TSV file ({err}); download PartiPrompts.tsv again") from err
    for line, row in enumerate(rows, start=2):
        if not all(row.get(column) for column in COLUMNS):
            raise DataError(f"{path} line {line}: expected columns {', '.join(COLUMNS)}; download it again")
    return rows
