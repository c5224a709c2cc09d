"""A speed table on paper: the networks of one model, the ways of running them, and in which order they are measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PositiveInt

from aptp_bench.budget import Convention
from aptp_bench.core.documents import Frozen, meant
from aptp_bench.core.settings import SamplingConfig
from aptp_bench.errors import ConfigError
from aptp_bench.harness import rows as table
from aptp_bench.profiling.setups import Setup


class Row(Frozen):
    """One network. options: the method's; published: what a paper prints for it."""

    label: str = Field(min_length=1)
    method: str
    budget: float = 1.0
    options: dict[str, Any] = Field(default_factory=dict)
    published: dict[str, Any] | None = None


class Way(Setup):
    """A way of running, and the labels of the rows that are run so, in this order; all rows if None."""

    rows: tuple[str, ...] | None = None
    images: int | None = Field(None, ge=0, description="batches of images, the protocol's if None")

    @property
    def setup(self) -> Setup:
        """The way of running alone."""
        return Setup(**self.model_dump(include=set(Setup.model_fields)))


class Repeats(Frozen):
    """How often. warmup, repeats: U-Net calls; images: whole batches of images, 0 for none.

    fewest: a mixture's experts share these calls, each having so many at least; None: each has all.
    """

    warmup: int = Field(20, ge=0)
    repeats: int = Field(50, ge=2)
    images: int = Field(5, ge=0)
    fewest: PositiveInt | None = None


class Campaign(Frozen):
    """The rows, the ways of running, and how budgets are counted. resolution: pixels, the model's own if None."""

    title: str
    about: str = ""
    model: str
    weights: str | None = None
    resolution: PositiveInt | None = None
    macs: Convention = "exact"
    seed: int = 0
    protocol: Repeats = Repeats()
    sampling: SamplingConfig = SamplingConfig()
    architectures: str | None = Field(
        None, description="folder of manifests beside the file; None: rows are pruned here"
    )
    setups: tuple[Way, ...] = Field(min_length=1)
    rows: Annotated[tuple[Row, ...], Field(min_length=1), AfterValidator(table.distinct)]
    published: dict[str, str] | None = Field(None, description="where the rows' published figures are from")

    @classmethod
    def load(cls, path: Path) -> Campaign:
        """Read a YAML file; its folder of architectures lies beside it. Raises ConfigError."""
        asked = table.read(cls, path, str(path), "benchmarks/speed/mini.yaml")
        labels = {row.label for row in asked.rows}
        for label in (label for way in asked.setups for label in way.rows or () if label not in labels):
            raise ConfigError(f"{path}: a way of running names '{label}'; {meant(label, labels)}")
        beside = asked.architectures and str(path.parent / asked.architectures)
        return asked.model_copy(update={"architectures": beside})

    def order(self, rows: Sequence[Row]) -> list[tuple[Row, Way]]:
        """The pieces, each once. Networks only drawn are made once a way of running; those searched for, once in all."""
        by_label = {row.label: row for row in rows}
        pieces: dict[tuple[str, Setup, int | None], tuple[Row, Way]] = {}
        for way in self.setups:
            for label in (label for label in way.rows or [row.label for row in self.rows] if label in by_label):
                pieces.setdefault((label, way.setup, way.images), (by_label[label], way))
        made = list(pieces.values())
        return made if self.architectures else sorted(made, key=lambda piece: rows.index(piece[0]))
