"""A suite: the rows of one table as runs of one harness, in a YAML file.

What can be run is run; what cannot is named at the end, all at once. Stages are shared through the store, so a suite
that was killed goes on where it stopped, and rows that have work in common do it once.
"""

from __future__ import annotations

import difflib
import json
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import Field, ValidationError, model_validator

from aptp_bench import config
from aptp_bench.budget import Convention
from aptp_bench.config import Recipe, Settings
from aptp_bench.errors import AptpBenchError, ConfigError
from aptp_bench.records import Record

SHIPPED = "aptp_bench.benchmarks"


class Row(Settings):
    """One line of the table: a method at a budget, with the settings in which it differs from the suite's."""

    label: str = Field(min_length=1)
    method: str
    budget: float | None = Field(None, description="share of the dense MACs; None: the recipe's")
    settings: tuple[str, ...] = Field((), description="key=value lines, as --set takes them")


class Suite(Settings):
    """The rows, and what they have in common."""

    title: str
    about: str = Field("", description="what the table is for, and how it differs from the published one")
    dataset: str
    scale: str = "mini"
    macs: Convention = Field("exact", description="how budgets are counted")
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    settings: tuple[str, ...] = Field((), description="key=value lines for every row")
    rows: tuple[Row, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Suite:
        labels = [row.label for row in self.rows]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(f"two rows are called '{twice[0]}'; give each its own label")
        return self

    @classmethod
    def load(cls, name: str) -> Suite:
        """Read a suite: a YAML file, or one that is shipped, by its name. Raises ConfigError."""
        path = Path(name)
        text = path.read_text(encoding="utf-8") if path.is_file() else _shipped(name)
        try:
            return cls.model_validate(yaml.safe_load(text))
        except yaml.YAMLError as err:
            raise ConfigError(f"{name} is not YAML ({' '.join(str(err).split())}); mend it and run again") from err
        except ValidationError as err:
            raise ConfigError(f"{name}: {_first(err)}; see benchmarks/mini/table1_coco.yaml for an example") from err

    def runs(self, extra: Sequence[str] = ()) -> list[Run]:
        """Every row at every seed, resolved; `extra` settings come last. Raises ConfigError, UnknownNameError, BudgetError."""
        return [Run(row.label, seed, self._recipe(row, seed, extra)) for row in self.rows for seed in self.seeds]

    def _recipe(self, row: Row, seed: int, extra: Sequence[str]) -> Recipe:
        flags = {"budget.ratio": row.budget, "budget.convention": self.macs, "seed": seed}
        settings = [*self.settings, *row.settings, *extra]
        try:
            return config.recipe(row.method, self.dataset, self.scale, flags, settings)
        except AptpBenchError as err:
            raise type(err)(f"row '{row.label}': {err}") from err


@dataclass(frozen=True)
class Run:
    """One row at one seed."""

    label: str
    seed: int
    recipe: Recipe

    @property
    def name(self) -> str:
        """How progress and errors call it."""
        return f"{self.label}, seed {self.seed}"


@dataclass
class Outcome:
    """What a suite came to: records by label, a record a seed, and why the other runs failed."""

    records: dict[str, list[Record]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def run_all(
    runs: Sequence[Run], carry_out: Callable[[Recipe], Record], say: Callable[[str], None], logs: Path
) -> Outcome:
    """Carry out every run that can be; the outcome names the others.

    A failure that is a bug, in a stranger's plugin or here, stops its own row only: its traceback goes to a file in
    `logs`, which the outcome names. Ctrl-C stops the suite.
    """
    outcome = Outcome()
    for place, run in enumerate(runs, start=1):
        say(f"{place} of {len(runs)}: {run.name}")
        try:
            outcome.records.setdefault(run.label, []).append(carry_out(run.recipe))
        except AptpBenchError as err:
            outcome.failures[run.name] = str(err)
        except Exception as err:
            outcome.failures[run.name] = f"{type(err).__name__}: {err} (traceback: {_logged(err, logs, place)})"
        if run.name in outcome.failures:
            say(f"failed: {run.name}: {outcome.failures[run.name]}")
    return Outcome({label: records for label, records in outcome.records.items() if records}, outcome.failures)


def shared_key(recipe: Recipe) -> str:
    """What decides the materials of a run, so that runs of a suite load them once."""
    kept = {"dataset", "dataset_config", "prompts", "model", "weights", "sizes"}
    return json.dumps(recipe.model_dump(mode="json", include=kept), sort_keys=True)


def shipped() -> list[str]:
    """Names of the suites that come with the package, such as mini/table1_coco."""
    folders = [folder for folder in files(SHIPPED).iterdir() if folder.name in config.SCALES]
    return sorted(f"{folder.name}/{Path(f.name).stem}" for folder in folders for f in folder.iterdir())


def _shipped(name: str) -> str:
    known = shipped()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"shipped ones: {', '.join(known)}"
        raise ConfigError(f"there is no suite '{name}', neither a file nor a shipped one; {hint}")
    return files(SHIPPED).joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def _logged(err: Exception, logs: Path, place: int) -> Path:
    path = logs / f"suite-failure-{place:02d}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(traceback.format_exception(err)), encoding="utf-8")
    return path


def _first(err: ValidationError) -> str:
    first = err.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])
