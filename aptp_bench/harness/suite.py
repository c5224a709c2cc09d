"""A suite: the rows of one table as runs of one harness, in a YAML file.

What can be run is run; what cannot is named at the end, all at once. Stages are shared through the store, so a suite
that was killed goes on where it stopped, and rows that have work in common do it once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from aptp_bench import config, registry
from aptp_bench.budget import Convention
from aptp_bench.core.documents import Frozen, last_said, meant, said_once, shipped_yaml
from aptp_bench.core.recipe import Recipe, World
from aptp_bench.errors import AptpBenchError, ConfigError
from aptp_bench.harness import rows as table
from aptp_bench.records import Record

SHIPPED = "aptp_bench.benchmarks"
DEFAULT_SCALE: World = "mini"
TABLES = "tables"  # the folder of suites that serve every scale; they are called by their file's name alone


Lines = Annotated[tuple[str, ...], AfterValidator(said_once)]


class Change(Frozen):
    """What a row says at one scale: budget and reason in place of its own, settings after them."""

    budget: float | None = None
    settings: Lines = ()
    reason: str = ""


class Common(Frozen):
    """What a suite says at one scale: a convention in place of its own, settings after them."""

    macs: Convention | None = None
    settings: Lines = ()


class Row(Frozen):
    """One line of the table: a method at a budget, with the settings in which it differs from the suite's."""

    label: str = Field(min_length=1)
    method: str | None = Field(None, description="None: a row that cannot be run, for the reason it gives")
    budget: float | None = Field(None, description="share of the dense MACs; None: the recipe's")
    settings: Lines = Field((), description="key=value lines, as --set takes them")
    reason: str = Field("", description="why the row cannot be run")
    mini: Change = Change()
    smoke: Change = Change()
    paper: Change = Change()
    published: str | None = Field(None, description="the published row that it is; None: one of ours")
    column: str | None = Field(None, description="the published column that it fills; None: all that are measured")
    experts: bool = Field(False, description="its experts, by their cost, are the lines of the published table")

    @model_validator(mode="after")
    def _says_what_it_is(self) -> Row:
        if self.method is None and not self.reason:
            raise ValueError(f"row '{self.label}' has neither a method nor a reason; give it one of them")
        return self

    def at(self, scale: str) -> Row:
        """The row as it is at a scale."""
        change: Change = getattr(self, scale)
        own: dict[str, Any] = {"budget": self.budget if change.budget is None else change.budget}
        own |= {"settings": (*self.settings, *change.settings), "reason": change.reason or self.reason}
        return self.model_copy(update={**own, scale: Change()})


class Suite(Frozen):
    """The rows, and what they have in common."""

    title: str
    about: str = Field("", description="what the table is for, and how it differs from the published one")
    dataset: str
    scale: World | None = Field(None, description="the one that it is for; None: whichever is asked for, else mini")
    macs: Convention | None = Field(None, description="how budgets are counted; None: as the scale's recipe says")
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1)
    settings: Lines = Field((), description="key=value lines for every row")
    mini: Common = Common()
    smoke: Common = Common()
    paper: Common = Common()
    rows: Annotated[tuple[Row, ...], Field(min_length=1), AfterValidator(table.distinct)]

    @model_validator(mode="after")
    def _seeds_differ(self) -> Suite:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} name one twice; a run is made once")
        return self

    @classmethod
    def load(cls, name: str, scale: str | None = None) -> Suite:
        """Read a suite, as it is at a scale: a YAML file, or one that is shipped, by its name. Raises ConfigError."""
        path = Path(name)
        example = "benchmarks/mini/alignment.yaml"
        return (table.read(cls, path, name, example) if path.is_file() else _shipped(name)).at(scale)

    def at(self, scale: str | None = None) -> Suite:
        """The suite at a scale: its own, the one that is asked for, else mini. Raises ConfigError where they differ."""
        if scale not in (None, self.scale or scale):
            raise ConfigError(f"'{self.title}' is for scale {self.scale} alone; omit --scale {scale}")
        asked = scale or self.scale or DEFAULT_SCALE
        if asked not in config.SCALES:
            raise ConfigError(f"unknown scale '{asked}'; use --scale with one of {', '.join(config.SCALES)}")
        change: Common = getattr(self, asked)
        own = {"scale": asked, "macs": change.macs or self.macs, "settings": (*self.settings, *change.settings)}
        return self.model_copy(update={**own, "rows": tuple(row.at(asked) for row in self.rows), asked: Common()})

    def runs(self, extra: Sequence[str] = ()) -> list[Run]:
        """Every row that can be run at every seed, resolved; `extra` settings come last.

        Raises ConfigError, UnknownNameError, BudgetError.
        """
        return list(_runs(self, tuple(extra)))

    @property
    def left_out(self) -> dict[str, str]:
        """Why rows cannot be run, by label."""
        return {row.label: row.reason for row in self.rows if row.reason}

    def recipe(self, row: Row, seed: int, extra: Sequence[str]) -> Recipe:
        """A row at a seed, resolved."""
        flags = {"budget.ratio": row.budget, "budget.convention": self.macs, "seed": seed}
        own = [_of_method(setting, str(row.method)) for setting in extra]
        settings = last_said([*self.settings, *row.settings, *(setting for setting in own if setting)])
        try:
            return config.recipe(str(row.method), self.dataset, self.scale or DEFAULT_SCALE, flags, settings)
        except AptpBenchError as err:
            raise type(err)(f"row '{row.label}': {err}") from err


def _of_method(setting: str, method: str) -> str | None:
    """A setting as a row of `method` takes it: of "aptp.accumulate=16" what follows the name, None for other methods' rows."""
    name, _, rest = setting.partition(".")
    return setting if name not in registry.plugins("methods") else rest if name == method else None


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


Outcome = tuple[Run, Record | None, str | None]  # a run, its record, or why there is none


@cache
def _runs(suite: Suite, extra: tuple[str, ...]) -> tuple[Run, ...]:
    """Resolved once a process: the papers' figures and tables share their suites."""
    rows = [row for row in suite.rows if not row.reason]
    for setting in extra:
        if rows and not any(_of_method(setting, str(row.method)) for row in rows):
            name, there = setting.partition(".")[0], ", ".join(sorted({str(row.method) for row in rows}))
            raise ConfigError(f"--set {setting}: no row of '{suite.title}' is of method {name}; they are of {there}")
    return tuple(Run(row.label, seed, suite.recipe(row, seed, extra)) for row in rows for seed in suite.seeds)


def outcomes(
    runs: Sequence[Run], carry_out: Callable[[Recipe], Record], say: Callable[[str], None], logs: Path
) -> Iterator[Outcome]:
    """Carry out every run that can be, one after the other. logs: the folder of tracebacks, see `rows.attempt`. Ctrl-C stops all."""
    for place, run in enumerate(runs, start=1):
        say(f"{place} of {len(runs)}: {run.name}")
        record, why = table.attempt(partial(carry_out, run.recipe), log_of(logs, place))
        yield run, record, why


def gathered(
    runs: Sequence[Run], ended: Iterable[Outcome], say: Callable[[str], None]
) -> tuple[dict[str, list[Record]], dict[str, str]]:
    """Records by label, a record a seed, in the order of the runs whichever ended first, and why the other runs failed."""
    made: dict[str, Record] = {}
    failures: dict[str, str] = {}
    for run, record, why in ended:
        if record is None:
            failures[run.name] = str(why)
            say(f"failed: {run.name}: {why}")
        else:
            made[run.name] = record
    records: dict[str, list[Record]] = {}
    for run in runs:
        if run.name in made:
            records.setdefault(run.label, []).append(made[run.name])
    return records, failures


def log_of(logs: Path, place: int) -> Path:
    """Where the traceback of the run at a place, from 1, goes."""
    return logs / f"suite-failure-{place:02d}.log"


def shared_key(recipe: Recipe) -> str:
    """What decides the materials of a run, so that runs of a suite load them once."""
    kept = {"dataset", "dataset_config", "prompts", "prompts_config", "model", "weights", "sizes"}
    return json.dumps(recipe.model_dump(mode="json", include=kept), sort_keys=True)


def shipped() -> list[str]:
    """Names of the suites that come with the package: the papers' tables, such as aptp_1b, then such as mini/alignment."""
    folders = {folder.name: folder for folder in files(SHIPPED).iterdir() if folder.name in (TABLES, *config.SCALES)}
    tables = [Path(file.name).stem for file in folders.pop(TABLES).iterdir()]
    others = [f"{name}/{Path(file.name).stem}" for name, folder in folders.items() for file in folder.iterdir()]
    return sorted(tables) + sorted(others)


@cache
def _shipped(name: str) -> Suite:
    """Read once a process."""
    if name not in shipped():
        raise ConfigError(f"there is no suite '{name}', neither a file nor a shipped one; {meant(name, shipped())}")
    place = name if "/" in name else f"{TABLES}/{name}"
    return Suite.model_validate(shipped_yaml(files(SHIPPED).joinpath(f"{place}.yaml").read_text(encoding="utf-8")))
