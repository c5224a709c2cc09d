"""Image sets that are read block by block: a folder of generated PNGs, the images of a dataset, any list of files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from aptp_bench.backbones.preprocess import bicubic, central
from aptp_bench.contracts.evidence import ImageSet
from aptp_bench.errors import DataError
from aptp_bench.generation.images import as_tensor, image_path, read_image

if TYPE_CHECKING:
    import datasets


Fit = Literal["crop", "squash"]


def fitted(image: Tensor, fit: Fit, edge: int) -> Tensor:
    """uint8 [1, H, W, 3] -> [1, edge, edge, 3]: its central square, or all of it whatever its shape."""
    whole = central(image, min(image.shape[1:3])) if fit == "crop" else image
    return bicubic(whole, edge, edge)


@dataclass(frozen=True)
class Files(ImageSet):
    """Image files of one size, brought to `edge` pixels (as they are if None) by antialiased bicubic.

    fit: of files of several sizes, which then need an edge: crop takes the central square of each, squash the whole.
    """

    paths: Sequence[Path]
    digest: str
    edge: int | None = None
    fit: Fit | None = None

    @classmethod
    def numbered(cls, folder: Path, count: int, digest: str, edge: int | None = None) -> Files:
        """Images 0 … count - 1 of a folder that `generate` wrote."""
        return cls([image_path(folder, index) for index in range(count)], digest, edge)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.paths)

    def read(self, indices: range) -> Tensor:
        """uint8 [n, edge, edge, 3]. Raises DataError for a file that is missing or broken, and if sizes differ."""
        frames = {self.paths[index]: read_image(self.paths[index]) for index in indices}
        if self.fit is not None and self.edge is not None:
            return torch.cat([fitted(frame[None], self.fit, self.edge) for frame in frames.values()])
        height, width, _ = read_image(self.paths[0]).shape  # wherever the block begins, the first image says the size
        for path, frame in frames.items():
            if frame.shape[:2] != (height, width):
                have = f"{path} has {frame.shape[1]}x{frame.shape[0]} pixels and {self.paths[0].name} {width}x{height}"
                raise DataError(f"{have}; resize them to one size, or evaluate them with --fit crop or --fit squash")
        images = torch.stack(list(frames.values()))
        return images if self.edge is None else bicubic(images, self.edge, self.edge)


@dataclass(frozen=True)
class Rows(ImageSet):
    """The images of a dataset: the central square of each, brought to `edge` pixels."""

    dataset: datasets.Dataset
    digest: str
    edge: int

    def __len__(self) -> int:
        """How many there are."""
        return len(self.dataset)

    def read(self, indices: range) -> Tensor:
        """uint8 [n, edge, edge, 3]."""
        frames = [as_tensor(image)[None] for image in self.dataset[indices.start : indices.stop]["image"]]
        return torch.cat([fitted(x, "crop", self.edge) for x in frames])


@dataclass(frozen=True)
class Held(ImageSet):
    """Images in memory: uint8 [n, H, W, 3]."""

    images: Tensor
    digest: str

    def __len__(self) -> int:
        """How many there are."""
        return len(self.images)

    def read(self, indices: range) -> Tensor:
        """A slice of them."""
        return self.images[torch.arange(indices.start, indices.stop)]
