"""A dataset: captioned images with splits, or captions alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

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
        return _absent({name: field.default for name, field in cls.Config.model_fields.items()})

    def missing(self) -> str | None:
        """Which of its files is not where its settings say, and the setting that names another place."""
        return _absent(dict(self.config)) or _first_absent(self.places())

    def places(self) -> Iterable[tuple[str, Path]]:
        """Files and folders that loading wants below those that settings name, each with that setting."""
        return ()

    def images_of(self, pairs: int) -> int:
        """How many images so many training pairs have at most, known without the files: what plans count latents by."""
        return pairs

    @abstractmethod
    def load(self, split: str, limit: int | None = None) -> datasets.Dataset:
        """The first `limit` rows of a split (all if None). Raises DataError if files are missing or broken."""


def _absent(options: Mapping[str, Any]) -> str | None:
    return _first_absent((name, place) for name, place in options.items() if isinstance(place, Path))


def _first_absent(places: Iterable[tuple[str, Path]]) -> str | None:
    for name, place in places:
        if not place.exists():
            return f"{place} is not there; put the files there or name another place with --set dataset_config.{name}=…"
    return None
