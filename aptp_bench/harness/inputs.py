"""What every run on the same data and model shares: the teacher, the data splits, and digests of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from aptp_bench import registry
from aptp_bench.contracts.dataset import DatasetPlugin
from aptp_bench.contracts.model import ModelPlugin
from aptp_bench.core.digests import data_digest, weights_digest
from aptp_bench.core.recipe import Recipe
from aptp_bench.errors import DataError
from aptp_bench.generation.image_sets import Rows
from aptp_bench.harness.readiness import of_prompts
from aptp_bench.harness.sources import source_of
from aptp_bench.pruning.unets import tokens_of

if TYPE_CHECKING:
    import datasets
    from diffusers import StableDiffusionPipeline

TRAIN, VAL = "train", "val"


@dataclass(frozen=True)
class Materials:
    """Loaded once, written into by nobody. `digests` has an entry for the model and for each data set.

    A data set's digest reads some of its images only, so what is made from images depends on `drawn` too: a digest of the
    source that gives them.
    """

    model: ModelPlugin
    teacher: StableDiffusionPipeline
    train: datasets.Dataset
    val: datasets.Dataset
    prompts: datasets.Dataset | None
    device: torch.device
    digests: dict[str, str]
    drawn: str

    @classmethod
    def of(cls, recipe: Recipe, device: torch.device) -> Materials:
        """Load what `recipe` names, the data first, for it is quickly refused. Raises DataError, WeightsError."""
        source = registry.get("datasets", recipe.dataset)(**recipe.dataset_config)
        train = split_rows(source, TRAIN, recipe.sizes.train)
        val = split_rows(source, VAL, recipe.sizes.val)
        prompts = _prompts(recipe)
        model = registry.get("models", recipe.model)()
        teacher = model.load(recipe.weights).to(device)
        digests = {"model": weights_digest(teacher), TRAIN: data_digest(train), VAL: data_digest(val)}
        if prompts is not None:
            digests["prompts"] = data_digest(prompts)
        drawn = source_of(registered=[("datasets", recipe.dataset)])
        return cls(model, teacher, train, val, prompts, device, digests, drawn)

    @property
    def tokens(self) -> int:
        """Length of the text the U-Net reads."""
        return tokens_of(self.teacher)

    @property
    def labels(self) -> dict[str, list[Any]]:
        """What the dataset says of its training pairs beside image and caption, by column."""
        return {name: list(self.train[name]) for name in self.train.column_names if name not in ("image", "caption")}

    def captions(self, on: str) -> list[str]:
        """The evaluation captions `on` "dataset" or "partiprompts"; none where that set is left out."""
        rows = self.val if on == "dataset" else self.prompts
        return [] if rows is None else list(rows["caption"])

    @property
    def left_out(self) -> list[str]:
        """What the data sets say of rows that are there and not among theirs, a line each."""
        said = {TRAIN: _remark(self.train), VAL: _remark(self.val)}
        return [f"{split}: {remark}" for split, remark in said.items() if remark]

    @property
    def real_split(self) -> str:
        """Whose images are the real ones: those behind the captions, or, without prompts, those that were learned from."""
        return VAL if self.model.reads_prompts() else TRAIN  # the papers of unconditional models measure so

    def reals(self, on: str, edge: int) -> Rows | None:
        """Real images of `real_split`, central squares of `edge` pixels; None for prompts that have none."""
        rows = self.val if self.real_split == VAL else self.train
        if on != "dataset" or "image" not in rows.column_names:
            return None
        return Rows(rows, f"{self.digests[self.real_split]}-{self.drawn}-{edge}", edge)


def _prompts(recipe: Recipe) -> datasets.Dataset | None:
    if recipe.prompts is None or recipe.sizes.partiprompts == 0:
        return None
    source = registry.get("datasets", recipe.prompts)(**recipe.prompts_config)
    try:
        return split_rows(source, source.splits[-1], recipe.sizes.partiprompts)
    except DataError as err:
        raise DataError(of_prompts(str(err))) from err


def split_rows(source: DatasetPlugin, split: str, size: int) -> datasets.Dataset:
    """The first `size` rows of a split. Raises DataError if there is none, or nothing in it."""
    if split not in source.splits:
        lacks = f"dataset '{source.name}' has no {split} split (it has {', '.join(source.splits)})"
        raise DataError(f"{lacks}; choose another with --dataset")
    rows = source.load(split, size)
    if len(rows) == 0:
        why = f" ({_remark(rows)})" if _remark(rows) else ""
        raise DataError(f"dataset '{source.name}' has no rows in its {split} split{why}; check its files")
    return rows


def _remark(rows: datasets.Dataset) -> str:
    """What a description says after its first semicolon: what was left out, and why."""
    return str(rows.info.description or "").partition("; ")[2]
