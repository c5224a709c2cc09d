"""Image sets that are read block by block: a folder of generated PNGs, the images of a dataset, any list of files."""

from __future__ import annotations

import os
import sys
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from aptp_bench.backbones.preprocess import bicubic, central
from aptp_bench.contracts.evidence import ImageSet
from aptp_bench.core.distributed import Ranks
from aptp_bench.core.threads import processors
from aptp_bench.errors import AptpBenchError, DataError
from aptp_bench.generation.images import as_tensor, image_path, read_image

if TYPE_CHECKING:
    import datasets


Fit = Literal["crop", "squash"]
LARGE = 128 * 128  # pixels of an image whose decoding takes longer than passing it on
MOST_WORKERS = 8  # that decode: a GPU is fed by fewer


def fitted(image: Tensor, fit: Fit, edge: int) -> Tensor:
    """uint8 [1, H, W, 3] -> [1, edge, edge, 3]: its central square, or all of it whatever its shape."""
    whole = central(image, min(image.shape[1:3])) if fit == "crop" else image
    return bicubic(whole, edge, edge)


class Decoded(ImageSet):
    """Images that are decoded when they are read: large ones in worker processes, ahead of whoever asks for them."""

    @abstractmethod
    def pixels(self) -> int:
        """Of the first image, as it is before it is resized."""

    def ahead(self, blocks: Sequence[range]) -> Iterator[Tensor]:
        """uint8 [n, edge, edge, 3] of each block. Raises DataError."""
        workers = min(len(blocks) - 1, processors() // Ranks.here().size, MOST_WORKERS)
        if workers < 1 or sys.platform != "linux" or self.pixels() < LARGE:
            yield from map(self.read, blocks)
            return
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # or tokenizers warn of every fork
        # arrays are pickled; tensors would go through shared memory, of which containers have little
        how: dict[str, Any] = {"num_workers": workers, "multiprocessing_context": "fork", "collate_fn": _as_it_is}
        for found in DataLoader(_Blocks(self, blocks), batch_size=None, **how):
            if isinstance(found, AptpBenchError):
                raise found
            yield torch.from_numpy(found)


@dataclass(frozen=True)
class _Blocks(Dataset[Any]):
    """What workers read: a block as an array, or why it cannot be read."""

    images: ImageSet
    blocks: Sequence[range]

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, number: int) -> Any:
        try:
            return self.images.read(self.blocks[number]).numpy()
        except AptpBenchError as err:
            return err


def _as_it_is(found: Any) -> Any:
    return found


@dataclass(frozen=True)
class Files(Decoded):
    """Square image files of one size, brought to `edge` pixels by antialiased bicubic; of any shape, as they are, if it is None.

    fit: of files of several sizes or shapes, which then need an edge: crop takes the central square of each, squash the whole.
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

    def pixels(self) -> int:
        """Of the first image, as it is in its file."""
        height, width, _ = read_image(self.paths[0]).shape
        return height * width

    def read(self, indices: range) -> Tensor:
        """uint8 [n, edge, edge, 3]. Raises DataError for a file that is missing or broken, if sizes differ, for another shape."""
        frames = {self.paths[index]: read_image(self.paths[index]) for index in indices}
        if self.fit is not None and self.edge is not None:
            return torch.cat([fitted(frame[None], self.fit, self.edge) for frame in frames.values()])
        height, width, _ = read_image(self.paths[0]).shape  # wherever the block begins, the first image says the size
        for path, frame in frames.items():
            if frame.shape[:2] != (height, width):
                have = f"{path} has {frame.shape[1]}x{frame.shape[0]} pixels and {self.paths[0].name} {width}x{height}"
                raise DataError(f"{have}; resize them to one size, or evaluate them with --fit crop or --fit squash")
        if self.edge is not None and height != width:  # real images are cropped: two shapes of one picture
            have = f"{self.paths[0]} has {width}x{height} pixels and is measured as a square"
            raise DataError(f"{have}; crop it first, or evaluate with --fit crop or --fit squash")
        images = torch.stack(list(frames.values()))
        return images if self.edge is None else bicubic(images, self.edge, self.edge)


@dataclass(frozen=True)
class Rows(Decoded):
    """The images of a dataset: the central square of each, or all of it if fit is squash, brought to `edge` pixels."""

    dataset: datasets.Dataset
    digest: str
    edge: int
    fit: Fit = "crop"

    def __len__(self) -> int:
        """How many there are."""
        return len(self.dataset)

    def pixels(self) -> int:
        """Of the first image, as it is in the dataset."""
        width, height = self.dataset[0]["image"].size
        return int(width * height)

    def read(self, indices: range) -> Tensor:
        """uint8 [n, edge, edge, 3]."""
        frames = [as_tensor(image)[None] for image in self.dataset[indices.start : indices.stop]["image"]]
        return torch.cat([fitted(x, self.fit, self.edge) for x in frames])


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
