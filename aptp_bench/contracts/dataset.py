"""A dataset: captioned images with splits, or captions alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from aptp_bench.contracts.base import Plugin

if TYPE_CHECKING:
    import datasets


class DatasetPlugin(Plugin, ABC):
    """Captioned images with splits, or captions alone (`captions_only`), or images alone (not `captioned`).

    Columns of `load(split)`: "caption" (str; empty where there is none) and, unless captions_only, "image" (PIL, RGB).
    holds: what the images are; sounds are Mel spectrograms.
    """

    world: ClassVar[Literal["mini", "paper"]]
    captions_only: ClassVar[bool] = False
    captioned: ClassVar[bool] = True
    holds: ClassVar[Literal["images", "sounds"]] = "images"
    splits: ClassVar[tuple[str, ...]] = ("train", "val")

    @classmethod
    def unavailable(cls) -> str | None:
        """Which of its files is not where its settings look for it by default, and the setting that names another place."""
        for name, field in cls.Config.model_fields.items():
            if isinstance(field.default, Path) and not field.default.exists():
                place = f"--set dataset_config.{name}=…"
                return f"{field.default} is not there; put the files there or name another place with {place}"
        return None

    @abstractmethod
    def load(self, split: str, limit: int | None = None) -> datasets.Dataset:
        """The first `limit` rows of a split (all if None). Raises DataError if files are missing or broken."""
