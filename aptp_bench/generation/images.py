"""Folders of numbered PNGs, and back: outside of networks an image is uint8 [H, W, 3], RGB, 0..255."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aptp_bench.backbones.preprocess import bicubic, bilinear, central, checked
from aptp_bench.core.files import write_whole
from aptp_bench.errors import DataError

DIGITS = 6
AGAIN = "delete it and run the same command again"


def image_path(folder: Path, index: int) -> Path:
    """Where image number `index` lies."""
    return folder / f"{index:0{DIGITS}d}.png"


def write_image(folder: Path, index: int, image: Tensor) -> None:
    """Write image: uint8 [H, W, 3] as number `index`, making the folder; a reader finds the whole file or none."""
    made = Image.fromarray(checked(image[None])[0].cpu().numpy())
    write_whole(image_path(folder, index), lambda aside: made.save(aside, format="PNG"))


def write_images(folder: Path, images: Tensor, start: int = 0) -> None:
    """Write images: uint8 [n, H, W, 3] as numbers start, start + 1, …"""
    for index, image in enumerate(images, start=start):
        write_image(folder, index, image)


def read_images(folder: Path, count: int | None = None) -> Tensor:
    """Images 0 … count-1 of a folder (all if None): uint8 [n, H, W, 3].

    Raises DataError naming a file that is missing or broken.
    """
    total = len(list(folder.glob("*.png"))) if count is None else count
    if total == 0:
        raise DataError(f"{folder} holds no images; generate them first")
    return stacked((read_image(image_path(folder, index)) for index in range(total)), str(folder))


def read_image(path: Path) -> Tensor:
    """One image file as uint8 [H, W, 3]. Raises DataError naming the file if it is missing or broken."""
    try:
        with Image.open(path) as opened:
            return as_tensor(opened)
    except FileNotFoundError as err:
        raise DataError(f"image {path} is missing; generate it again: run the same command") from err
    except (OSError, SyntaxError, ValueError) as err:  # what Pillow raises on broken files
        raise DataError(f"image {path} is broken ({str(err).splitlines()[0]}); {AGAIN}") from err


def as_tensor(image: Image.Image) -> Tensor:
    """A Pillow image of any mode as uint8 [H, W, 3]."""
    return torch.from_numpy(np.array(image.convert("RGB")))


def stacked(images: Iterable[Tensor], where: str) -> Tensor:
    """Images of one size as uint8 [n, H, W, 3]. Raises DataError if their sizes differ."""
    frames = list(images)
    sizes = {tuple(frame.shape[:2]) for frame in frames}
    if len(sizes) != 1:
        raise DataError(f"{where}: images of {len(sizes)} sizes cannot be measured together; resize them to one size")
    return torch.stack(frames)


def resize(images: Tensor, size: int, how: Literal["bicubic", "bilinear"] = "bicubic") -> Tensor:
    """uint8 [n, H, W, 3] -> uint8 [n, size, size, 3], squashing what is not square, rounded to the nearest level.

    bicubic: Pillow's, antialiased. bilinear: without antialias, as the APTP script (OpenCV) makes its 256-pixel images.
    """
    if checked(images).shape[1:3] == (size, size):
        return images
    if how == "bicubic":
        return bicubic(images, size, size)
    return bilinear(images, size, size).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def square(images: Sequence[Image.Image], size: int) -> Tensor:
    """Pillow images of any sizes -> uint8 [n, size, size, 3]: the central square of each, by Pillow's bicubic."""
    frames = [as_tensor(image)[None] for image in images]
    return torch.cat([bicubic(central(frame, min(frame.shape[1:3])), size, size) for frame in frames])
