"""What there is to draw of a run: read off its folder when asked for, once; no network is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from aptp_bench import registry
from aptp_bench.audio.mel import Mel
from aptp_bench.config import reference_of
from aptp_bench.contracts.dataset import DatasetPlugin
from aptp_bench.core.digests import captions_digest
from aptp_bench.core.store import MANIFEST
from aptp_bench.errors import AptpBenchError, DataError, FigureError
from aptp_bench.harness import run_folder
from aptp_bench.harness.costs import served_by
from aptp_bench.harness.keywords import frequent_words
from aptp_bench.harness.run import ASSIGNMENT, GENERATE, IMAGES
from aptp_bench.harness.run_folder import RunFolder
from aptp_bench.models.mixture import Router, saved_router
from aptp_bench.records import Record
from aptp_bench.reporting.worlds import NAMES

On = Literal["dataset", "partiprompts"]


@dataclass(frozen=True)
class RunFacts:
    """A run, and what its figures need."""

    run: RunFolder

    @property
    def record(self) -> Record:
        """The run's record."""
        return self.run.record

    @property
    def convention(self) -> str:
        """How the MACs of the budget are counted."""
        return self.record.what.budget.convention

    @property
    def budgets(self) -> list[float]:
        """Of every expert its MACs as a share of the dense network's, in the convention of the budget."""
        return self.record.expert_ratios(self.convention)

    @property
    def world(self) -> str:
        """Which world the numbers are of, in a few words."""
        name = NAMES[self.record.world]
        return f"{name}, random weights" if self.record.what.random_weights else name

    @property
    def mel(self) -> Mel | None:
        """How the run's images are sounds; None if they are none."""
        mel: Mel | None = registry.get("models", self.record.what.model).mel
        return mel

    def check_several(self) -> None:
        """Raise FigureError for a run of one expert, of which there is nothing to compare."""
        if len(self.record.experts) < 2:
            method = self.record.what.method
            raise FigureError(f"{method} has one expert, which serves every prompt; run a method that has several")

    def title(self, text: str) -> str:
        """A figure's title: what it shows, of which run and of which world."""
        what = self.record.what
        return f"{text}\n{what.method} on {what.dataset}, seed {what.seed}, {self.world}"

    @cached_property
    def router(self) -> Router:
        """The run's router. Raises CheckpointError, WeightsError."""
        return saved_router(self.run.mixture)

    def captions(self, on: On = "dataset") -> list[str]:
        """The evaluation captions, which the run's data set must still have. Raises ConfigError, DataError."""
        return self._captions[on]

    def assignment(self, on: On = "dataset") -> list[int]:
        """The expert that drew each evaluation caption. Raises ConfigError, DataError."""
        path = self.run.stage(GENERATE[on]) / ASSIGNMENT
        try:
            found: list[int] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as err:
            raise DataError(f"{path} cannot be read; delete {path.parent} and run again") from err
        return found

    def images(self, on: On = "dataset") -> Path:
        """The folder of the images of the evaluation captions. Raises ConfigError."""
        return self.run.stage(GENERATE[on]) / IMAGES

    @cached_property
    def words(self) -> list[list[str]]:
        """The frequent words of every expert's evaluation captions: the record's, or counted anew for an old record."""
        known = [list(expert.words) for expert in self.record.experts]
        if any(known):
            return known
        served = served_by(self.assignment(), self.captions(), len(self.record.experts))
        return [frequent_words(own) for own in served]

    def beside(self, stage: str | None = None) -> tuple[RunFacts | None, str]:
        """(the finished run of the reference row beside this one, None if this is it; why it is not there).

        stage: one that it must still have.
        """
        try:
            wanted = reference_of(self.record.what)
            if wanted is None:
                return None, ""
            named = self.record.model_copy(update={"what": wanted, "world": wanted.scale})  # as its run would name it
            folder = run_folder.place(named, self.run.folder.absolute().parent)
            if not (folder / run_folder.FILE).is_file():
                what = f"there is no {wanted.method} run beside {self.run.folder.name}"
                return None, f"{what}; make it: {wanted.command}"
            found = facts_of(folder)
            if stage is not None:
                found.run.stage(stage)
        except AptpBenchError as err:
            return None, str(err)
        return found, ""

    @cached_property
    def _captions(self) -> Mapping[On, list[str]]:
        recipe, found = self.record.what, dict[On, list[str]]()
        data: DatasetPlugin = registry.get("datasets", recipe.dataset)(**recipe.dataset_config)
        found["dataset"] = self._checked(data, recipe.sizes.val, "dataset")
        if recipe.prompts is not None and GENERATE["partiprompts"] in self.run.stages:
            prompts: DatasetPlugin = registry.get("datasets", recipe.prompts)()
            found["partiprompts"] = self._checked(prompts, recipe.sizes.partiprompts, "partiprompts")
        return found

    def _checked(self, source: DatasetPlugin, size: int, on: On) -> list[str]:
        """The captions of a data set, which must be those whose images the stage holds."""
        captions = list(source.load("val" if on == "dataset" else source.splits[-1], size)["caption"])
        manifest: dict[str, Any] = json.loads((self.run.stage(GENERATE[on]) / MANIFEST).read_text(encoding="utf-8"))
        if manifest["key"]["captions"] != captions_digest(captions):
            raise DataError(
                f"the captions of {source.name} are not those that {self.run.folder} drew; put that data back"
            )
        return captions


def facts_of(folder: Path) -> RunFacts:
    """The facts of the run in `folder`. Raises ConfigError if there is none."""
    return RunFacts(RunFolder.load(folder))
