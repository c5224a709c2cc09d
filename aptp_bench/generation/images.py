"""Folders of numbered PNGs, and back: outside of networks an image is uint8 [H, W, 3], RGB, 0..255."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aptp_bench.backbones.preprocess import checked
from aptp_bench.core.files import write_whole
from aptp_bench.data import images


def image_path(folder: Path, index: int) -> Path:
    """Where image number `index` lies."""
    return folder / f"{index:06d}.png"


def write_image(folder: Path, index: int, image: Tensor) -> None:
    """Write image: uint8 [H, W, 3] as number `index`, making the folder; a reader finds the whole file or none."""
    made = Image.fromarray(checked(image[None])[0].cpu().numpy())
    write_whole(image_path(folder, index), lambda aside: made.save(aside, format="PNG"))


def read_image(path: Path) -> Tensor:
    """One image file as uint8 [H, W, 3]. Raises DataError as data.images.read does."""
    return as_tensor(images.read(path))


def as_tensor(image: Image.Image) -> Tensor:
    """A Pillow image of any mode as uint8 [H, W, 3]."""
    return torch.from_numpy(np.array(image.convert("RGB")))
