"""Published weights: a U-Net that somebody else pruned, measured like every other.

Any of the model's family: BK-SDM's and other small Stable Diffusions, what `aptp_bench.save` wrote, an expert of the APTP
authors (aptp_bench.models.published has the layouts). Nothing is pruned here, so nothing is asked of the cost: what the
weights cost is what is recorded, and they stand beside the boards. With --budget they are held to it as a method is, and
ranked among those that meet it.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from aptp_bench.budget import TOLERANCE
from aptp_bench.core.documents import EXECUTION
from aptp_bench.core.recipe import World
from aptp_bench.errors import BudgetError, ConfigError
from aptp_bench.plugins import Forecast, Job, Method, PluginConfig, Sketch

if TYPE_CHECKING:
    from aptp_bench.models.mixture import Mixture


class CheckpointConfig(PluginConfig):
    """Which weights. Where they lie and what they are called decide no number: a digest of the weights stands for them."""

    folder: str | None = Field(
        None,
        description="folder or hub id of the U-Net, or of a pipeline with one in unet/",
        json_schema_extra=EXECUTION,
    )
    subfolder: str = Field("", description="where it lies in that folder or repository", json_schema_extra=EXECUTION)
    label: str = Field(
        "", description="what people call these weights; empty: the folder's name", json_schema_extra=EXECUTION
    )
    tune: bool = Field(
        False, description="whether they are fine-tuned here, as the result of a method is; False: used as published"
    )

    @model_validator(mode="before")
    @classmethod
    def _called(cls, given: Any) -> Any:
        """Weights without a label go by the last part of their path."""
        if not isinstance(given, dict) or given.get("label") or not isinstance(given.get("folder"), str):
            return given
        parts = re.split(r"[/\\]", f"{given['folder']}/{given.get('subfolder') or ''}")
        return {**given, "label": next((part for part in reversed(parts) if part), "")}


class Checkpoint(Method):
    """A U-Net that was pruned elsewhere: one expert, used as it was published or fine-tuned here."""

    name = "checkpoint"
    title = "Published weights"
    published_as = "label"
    Config = CheckpointConfig
    config: CheckpointConfig

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.tunes = self.uses_data = self.config.tune

    def forecast(self, sketch: Sketch) -> Forecast:
        """It runs no network. How large the weights are shows when they are read: at most as the dense network's."""
        return Forecast()

    @cached_property
    def place(self) -> Path:
        """The folder of the U-Net, fetched if it is a hub id. Raises WeightsError, ConfigError where none is named."""
        from aptp_bench.models import published

        if not self.config.folder:
            raise ConfigError("checkpoint needs weights: --set folder=… with a folder or a hub id such as owner/name")
        return published.find(self.config.folder, self.config.subfolder)

    @cached_property
    def _digest(self) -> str:
        from aptp_bench.core.files import sha256_of
        from aptp_bench.models import published

        return sha256_of(*published.files(self.place))

    def check(self, scale: World) -> None:
        """Raise ConfigError or WeightsError where there are no weights."""
        self.place  # noqa: B018 - finding them is the check

    def digests(self, scale: World) -> dict[str, str]:
        """Of the weights, and of the configuration that says what network they are of."""
        return {"weights": self._digest}

    def prune(self, job: Job) -> Mixture:
        """The published U-Net. Raises CheckpointError if it does not fit the model, BudgetError if it costs too much."""
        from aptp_bench.models import published
        from aptp_bench.models.mixture import Mixture
        from aptp_bench.pruning.macs import count, example_inputs

        unet = published.read(self.place)
        published.check_fits(unet, job.teacher.unet, self.config.folder)
        inputs = example_inputs(job.teacher.unet, tokens=job.tokens)
        cost, whole = (count(each, inputs, job.budget.convention).total for each in (unet, job.teacher.unet))
        missed, said = job.budget.missed_by(cost / whole), f"{cost / whole:.4f} of the {job.budget.convention} MACs"
        if missed > TOLERANCE and job.budget.ratio == 1:
            fix = "name the one that it was pruned from with --model"
            raise BudgetError(
                f"{self.config.label} has {said} of the model's own U-Net, and more is no pruned one; {fix}"
            )
        if missed > TOLERANCE:
            raise BudgetError(f"{self.config.label} keeps {said}; leave out --budget to measure it as it is")
        return Mixture.of_one(unet.requires_grad_(False), f"{self.config.label}, as published: {said}")
