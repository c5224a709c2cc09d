"""What a run leaves behind: one JSON document, closed schema, with all that is needed to read a number and to get it again."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, ValidationInfo, field_validator, model_validator

from aptp_bench.budget import CONVENTIONS
from aptp_bench.core.documents import Frozen, first_problem, from_json, not_plain
from aptp_bench.core.files import content, write_text
from aptp_bench.core.recipe import Recipe, Task, World
from aptp_bench.errors import ConfigError

Better = Literal["higher", "lower", "neither"]
Number = Annotated[FiniteFloat, Field(gt=-1e100, lt=1e100)]  # its square is finite too
Positive = Annotated[Number, Field(gt=0)]

FOLDER = "records"

Document = TypeVar("Document", bound=Frozen)


class Measurement(Frozen):
    """One number and all that is needed to read it.

    value: finite; n: images, prompts or timed runs behind it; interval: (low, high), 95 %; detail: plain data; replicates:
    n numbers, one a prompt, whose mean is the value. Raises pydantic's ValidationError; Metric.measured says it in a line.
    """

    value: Number  # a NaN is a failed run, never a result
    unit: str
    better: Better
    n: PositiveInt  # images, prompts or timed runs behind the value
    interval: tuple[Number, Number] | None = None  # 95 %; None where no estimator is known
    detail: dict[str, Any] = {}  # what else must be known: device, dtype, backbone, resize, per-expert values
    # one number a prompt, in the order of the prompts, whose mean is the value; never in a document: see Replicates
    replicates: tuple[Number, ...] | None = Field(None, exclude=True, repr=False)

    @field_validator("detail")
    @classmethod
    def _plain(cls, detail: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if info.mode == "json":  # it is plain by being there; a board reads thousands
            return detail
        try:
            for key, value in detail.items():
                for odd in not_plain(value):
                    raise ValueError(f"{key} holds {odd!r:.80} ({type(odd).__name__}), which no JSON document can hold")
        except RecursionError as err:
            raise ValueError("it holds itself, which no JSON document can") from err
        return detail

    @model_validator(mode="after")
    def _one_a_prompt(self) -> Measurement:
        if self.replicates is not None and len(self.replicates) != self.n:
            raise ValueError(
                f"{len(self.replicates)} replicates for n = {self.n}; a metric gives one a prompt, or none"
            )
        return self

    @model_validator(mode="after")
    def _right_way_round(self) -> Measurement:
        if self.interval is not None and self.interval[0] > self.interval[1]:
            raise ValueError(f"the interval begins at {self.interval[0]:g} and ends at {self.interval[1]:g}")
        return self


class Counted(Frozen):
    """MACs of a U-Net call in one convention: of the dense network, of the mixture (mean over the evaluation's prompts).

    ratio, train_ratio: shares of the dense MACs, over the evaluation's prompts and over the training ones.
    """

    dense: Positive
    pruned: Positive
    ratio: Positive
    train_ratio: Positive


class Parameters(Frozen):
    """Parameters: of the dense network, of all experts together, of the expert that a mean prompt meets."""

    dense: PositiveInt
    stored: PositiveInt
    per_image: PositiveInt


class Expert(Frozen):
    """One expert of a mixture: its cost, how many prompts it serves, and the words that most of the evaluation ones have."""

    macs: dict[str, PositiveInt]
    parameters: PositiveInt
    train_prompts: NonNegativeInt
    eval_prompts: NonNegativeInt
    words: list[str] = []  # empty in records of version 1


class Provenance(Frozen):
    """How to get a record again: software, commit, device, time a stage, digests of weights and data."""

    command: str
    versions: dict[str, str]
    commit: str | None
    dirty: bool | None
    device: str
    threads: PositiveInt
    processes: list[str] = []  # the device of each, in their order; as precision, records of earlier releases have none
    precision: str = ""  # of the weights, and how a card may round the products of float32
    seconds: dict[
        str, Annotated[Number, Field(ge=0)]
    ]  # wall time a stage took when it was done, even if this run only read it
    digests: dict[str, str]  # of the model's weights, the metric backbones and the data
    source: dict[str, str] = {}  # stage -> digest of the source that made it; records of earlier releases have none
    date: str = Field("", pattern=r"^(\d{4}-\d\d-\d\d)?$")  # of the last stage that was done, UTC; likewise

    @field_validator("date")
    @classmethod
    def _of_the_calendar(cls, date: str) -> str:
        if date:
            datetime.date.fromisoformat(date)
        return date


class Samples(Frozen):
    """The first images of the evaluation set, in one row beside the record: `<results>/samples/<record's stem>.png`."""

    captions: list[str]
    edge: PositiveInt  # pixels of a tile
    sha256: str  # of the file


class Replicates(Frozen):
    """One number a prompt for each of these metrics, float32, beside the record: `<results>/replicates/<record's stem>.safetensors`."""

    metrics: list[str]
    sha256: str  # of the file


class Record(Frozen):
    """One run: what was asked, what came out, how to get it again. Written once, never edited.

    Documents of version 2, which kept no replicates, and of version 1, which kept no samples and no words either, are still
    read.
    """

    schema_version: Literal[3] = 3
    world: World
    task: Task = "text-to-image"
    what: Recipe  # settings that are newer than the document have their defaults
    macs: dict[str, Counted]  # by convention
    parameters: Parameters
    experts: list[Expert] = Field(min_length=1)
    # U-Net calls of an image: the sampler's own ("dense"), those that are "made", and of these the "full" ones; the MACs
    # are all their MACs over the sampler's own number. Empty in documents from before it was kept: all three are the same
    calls: dict[str, PositiveInt] = {}
    remark: str = ""  # what the method says of its result, such as why it lies below its budget
    diagnostics: dict[str, Number] = {}  # what the method says of its own routes in numbers; see docs/records.md
    results: dict[str, Measurement]
    skipped: dict[str, str] = {}  # metric -> why it could not be measured here
    samples: Samples | None = None
    replicates: Replicates | None = None  # None: its differences from other records are taken unpaired
    how: Provenance

    @field_validator("schema_version", mode="before")
    @classmethod
    def _upgraded(cls, version: Any) -> Any:
        """What older versions lack has its default; a later release is left for the schema to refuse."""
        return 3 if version in (1, 2) else version

    @model_validator(mode="after")
    def _counts_agree(self) -> Record:
        """An edited count would be ranked as if it had been measured, one of another world beside what it is never compared with."""
        if self.world != self.what.scale:
            raise ValueError(f"world is {self.world} and what.scale {self.what.scale}")
        counts: list[Mapping[str, Any]] = [self.macs, *(expert.macs for expert in self.experts)]
        if any(each.keys() != set(CONVENTIONS) for each in counts):
            raise ValueError(f"macs are counted in each of {', '.join(CONVENTIONS)}, of the whole and of every expert")
        for name, counted in self.macs.items():
            if not math.isclose(counted.ratio, counted.pruned / counted.dense, rel_tol=1e-6):
                raise ValueError(f"macs.{name}: ratio is not pruned / dense")
        return self

    @property
    def name(self) -> str:
        """method-dataset-budget-seed-scale: unique enough for a file name, plain enough to read."""
        return _plain_name(self.what)

    def expert_ratios(self, convention: str) -> list[float]:
        """Of every expert its MACs as a share of the dense network's."""
        dense = self.macs[convention].dense
        return [expert.macs[convention] / dense for expert in self.experts]


def run_name(what: Recipe) -> str:
    """A run's name; where settings differ from the recipe's, a digest of them, so that no run overwrites another kind."""
    if not what.settings and not what.weights:
        return _plain_name(what)
    changed = json.dumps(what.model_dump(mode="json"), sort_keys=True).encode()
    return f"{_plain_name(what)}-{hashlib.sha256(changed).hexdigest()[:8]}"


def _plain_name(what: Recipe) -> str:
    budget = what.budget
    return f"{what.method}-{what.dataset}-{budget.ratio:g}{budget.convention}-seed{what.seed}-{what.scale}"


def save(record: Record, results: Path) -> Path:
    """Write the record to `results`/records, whole or not at all; where it lies."""
    return write(record, results / FOLDER / f"{run_name(record.what)}.json")


def load(path: Path) -> Record:
    """Read a record of this or an older schema. Raises ConfigError if it is neither."""
    return read(path, Record, "record", "run")


def load_all(results: Path) -> tuple[dict[Path, Record], dict[Path, str]]:
    """(the records under `results`/records by file, in the order of their names; why other files there are none)."""
    found: dict[Path, Record] = {}
    malformed: dict[Path, str] = {}
    owners: dict[str, tuple[Path, Record]] = {}
    for path in sorted((results / FOLDER).glob("*.json")):
        try:
            record = load(path)
        except ConfigError as err:
            malformed[path] = str(err)
            continue
        known = owners.setdefault(record.replicates.sha256, (path, record)) if record.replicates else None
        if known is not None and known[1].what.seed != record.what.seed:
            malformed[path] = f"{path} has the replicates of {known[0].name}, another seed's; restore it, or run again"
            continue
        found[path] = record
    return found, malformed


def write(document: Frozen, path: Path) -> Path:
    """Write a document as JSON, whole or not at all; where it lies."""
    return write_text(path, document.model_dump_json(indent=2) + "\n")


def read(path: Path, kind: type[Document], what: str, verb: str) -> Document:
    """Read a document of a kind. what, verb: how the error calls it, and what makes it again. Raises ConfigError."""
    try:
        return from_json(kind, content(path), strict=True)  # strict: "1" is no number, nor is true
    except (OSError, ValueError) as err:  # ValueError: no text, no JSON, or not of the schema
        raise ConfigError(
            f"{path} is not a readable {what} ({first_problem(err)}); restore it, or {verb} again"
        ) from err
