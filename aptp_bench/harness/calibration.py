"""What a method calibrates on when it is used from Python: pairs, captions or images that somebody has, or a dataset's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from aptp_bench import registry
from aptp_bench.config import merged, preset
from aptp_bench.contracts.dataset import DatasetPlugin
from aptp_bench.core.progress import Progress
from aptp_bench.core.recipe import Recipe, World
from aptp_bench.data import images
from aptp_bench.errors import ConfigError, DataError
from aptp_bench.harness.inputs import TRAIN, split_rows
from aptp_bench.pruning.unets import text_width
from aptp_bench.training.latents import Batch, Pairs, encode_pairs, encode_text

FORMS = (
    "(image, caption) pairs, a dataset with columns image and caption, or the name of a dataset (aptp-bench datasets)"
)
LABELS = frozenset({"image", "caption"})  # the columns that are not labels


@dataclass(frozen=True)
class Calibration:
    """Training pairs, as many or as few parts of them as were given; and what else is known of them, by column."""

    pairs: Pairs
    labels: Mapping[str, Sequence[Any]]


def encoded(given: Any, teacher: Any, scale: World, progress: Progress, folder: Path) -> Calibration:
    """Latents and text of what was given, written to `folder` as it goes.

    given: (image, caption) pairs, images being Pillow's or files; captions alone, as texts; images alone, for a model that
    reads no prompts; a dataset with these columns; the name of one of the scale's datasets; or None. A method that reads
    what is not there raises ConfigError. Raises ConfigError for anything else, DataError for a broken image.
    """
    document = preset(scale)
    if given is None:
        return Calibration(Given(f"this method calibrates on data; give calibration={FORMS}"), {})
    if isinstance(given, str):
        name = document.get("aliases", {}).get(given, given)
        document = merged(document, document["datasets"].get(name, {}))
        rows, labels = _named(name, scale, document["sizes"]["train"])
    else:
        rows, labels = _rows(given, text_width(teacher.unet) is not None), {}
    captions, batch = list(rows["caption"]), Recipe.model_fields["encode_batch"].default
    if isinstance(rows, Rows) and not rows.images:
        parts = progress.track(range(0, len(captions), batch), "encode")
        text = torch.cat([encode_text(teacher, captions[at : at + batch], teacher.unet.device) for at in parts])
        lacks = f"this method reads images too; give calibration={FORMS}"
        return Calibration(Given(lacks, captions=captions, text=text.float()), labels)
    edge = min(document["resolution"]["train"], _own_edge(teacher))
    return Calibration(encode_pairs(teacher, rows, progress, batch, edge, folder), labels)


class Given(Pairs):
    """As much of training pairs as somebody gave, as captions and text; who reads more is told what to give."""

    def __init__(self, lacks: str, **parts: Any) -> None:
        self.__dict__.update(parts, lacks=lacks)  # not Pairs' own, which wants all parts

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ConfigError(self.lacks)

    def subset(self, indices: Sequence[int] | Tensor) -> Pairs:
        """What there is of the pairs at `indices`, in that order."""
        at = torch.as_tensor(indices, dtype=torch.long)
        return Given(self.lacks, captions=[self.captions[i] for i in at.tolist()], text=self.text[at])

    def batch(self, indices: Sequence[int] | Tensor, device: torch.device | str = "cpu") -> Batch:
        """What there is of the pairs at `indices` as float32 on `device`."""
        at = torch.as_tensor(indices, dtype=torch.long)
        part: Any = Given(self.lacks, text=self.text[at].to(device, torch.float32))
        return part


@dataclass(frozen=True)
class Rows:
    """Images and captions, as many of each, or no images; read as a dataset is, an image when it is looked at."""

    images: Sequence[Any]
    captions: Sequence[str]

    def __getitem__(self, key: str | slice) -> Any:
        """The captions, for "caption"; or {"image": pictures} of a slice. Raises DataError for what is no picture."""
        if isinstance(key, str):
            return self.captions
        places = range(*key.indices(len(self.captions)))
        return {"image": [_picture(self.images[at], at) for at in places]}


def _picture(image: Any, at: int) -> Image.Image:
    if isinstance(image, str | Path):
        return images.read(image)
    try:
        return images.rgb(image)
    except MemoryError:
        raise
    except Exception as err:  # whatever it is instead of an image, or its bytes bring about: see data.images.read
        raise DataError(f"image {at} of calibration is none ({err}); give Pillow images or files") from err


def _rows(given: Any, worded: bool) -> Rows:
    """What a user holds as rows. worded: whether the model reads captions, so that images need them."""
    if hasattr(given, "column_names"):
        if missing := sorted(LABELS - set(given.column_names)):
            raise ConfigError(f"the dataset has no column {' and no column '.join(missing)}; rename its columns")
        return Rows(given["image"], list(given["caption"]))
    items = list(given) if isinstance(given, Sequence) else []
    if items and all(isinstance(item, str) for item in items):
        return Rows([], items)
    if items and all(isinstance(item, Sequence) and len(item) == 2 and isinstance(item[1], str) for item in items):
        return Rows([image for image, _ in items], [caption for _, caption in items])
    if items and not worded and all(isinstance(item, Image.Image | Path) for item in items):
        return Rows(items, [""] * len(items))
    what = f"a list of {type(items[0]).__name__}" if items else f"an empty or unknown {type(given).__name__}"
    raise ConfigError(f"calibration is {what}; give {FORMS}")


def _named(name: str, scale: World, limit: int) -> tuple[Any, dict[str, list[Any]]]:
    """The training rows of one of the scale's datasets, and their labels."""
    kind: type[DatasetPlugin] = registry.get("datasets", name)
    world = "paper" if scale == "paper" else "mini"
    if kind.world != world:
        raise ConfigError(f"dataset '{name}' is of the {kind.world} world; add scale='{kind.world}'")
    rows = split_rows(kind(), TRAIN, limit)
    return rows, {column: list(rows[column]) for column in rows.column_names if column not in LABELS}


def _own_edge(teacher: Any) -> int:
    """Pixels of the images that a pipeline makes: its shorter edge."""
    size = teacher.unet.config.sample_size
    return (size if isinstance(size, int) else min(size)) * 2 ** (len(teacher.vae.config.block_out_channels) - 1)
