"""Images as networks want them.

The resize is the largest cause of disagreement between published scores, so each one has its name and its place here.
`bicubic`: Pillow's, antialiased, rounded to 8 bits, as in OpenAI's CLIP. `bicubic_float`: the same without rounding, as
in clean-fid. `bilinear`: two taps, no antialias, as in pytorch-fid and OpenCV.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from aptp_bench.errors import DataError, WeightsError

CONFIGS = ("preprocessor_config.json", "processor_config.json")  # transformers 4 and 5 name it differently


@dataclass(frozen=True)
class Preprocess:
    """CLIP's: shortest edge to `size`, centre crop to `crop`, to [0, 1], then (x - mean) / std.

    crop_first: cut the central square before resizing, as the CMMD paper's code does; the same thing for square images.
    """

    size: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_first: bool = False

    @classmethod
    def read(cls, folder: Path, crop_first: bool = False) -> Preprocess:
        """The settings saved beside a CLIP network. Raises WeightsError if there are none."""
        settings = _settings(folder)
        try:
            size = _edge(settings["size"])
            crop = _edge(settings.get("crop_size", size))
            mean, std = tuple(settings["image_mean"]), tuple(settings["image_std"])
        except (KeyError, TypeError, ValueError) as err:
            raise WeightsError(
                f"{folder} has an unreadable preprocessor configuration ({err}); fetch or save it again"
            ) from err
        if crop > size:
            raise WeightsError(
                f"{folder} wants a crop of {crop} out of {size} pixels; fetch its preprocessor configuration again"
            )
        return cls(size, crop, mean, std, crop_first)

    def __call__(self, images: Tensor) -> Tensor:
        """images: uint8 [n, H, W, 3] -> float32 [n, 3, crop, crop]."""
        images = central(checked(images), min(images.shape[1:3])) if self.crop_first else checked(images)
        height, width = images.shape[1:3]
        short = min(height, width)
        cut = central(bicubic(images, self.size * height // short, self.size * width // short), self.crop)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return (cut.permute(0, 3, 1, 2).float() / 255 - mean) / std

    def __str__(self) -> str:
        """In words, for the record."""
        first = "central square; " if self.crop_first else ""
        return (
            f"{first}shortest edge to {self.size}, Pillow bicubic with antialias, 8 bits; central crop to {self.crop}"
        )


def checked(images: Tensor) -> Tensor:
    """The images themselves. Raises DataError unless they are uint8 [n, H, W, 3]."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise DataError(
            f"images must be uint8 [n, height, width, 3], got {images.dtype} {list(images.shape)}; load them as RGB"
        )
    return images


def bicubic(images: Tensor, height: int, width: int) -> Tensor:
    """uint8 [n, H, W, 3] -> uint8 [n, height, width, 3]: Pillow's antialiased bicubic, rounded to 8 bits."""
    if images.shape[1:3] == (height, width):
        return images
    frames = [Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC) for frame in images.numpy()]
    return torch.from_numpy(np.stack([np.asarray(frame) for frame in frames]))


def bicubic_float(images: Tensor, size: int) -> Tensor:
    """Pillow's bicubic channel by channel, clipped, not rounded, as clean-fid does it.

    images: uint8 [n, H, W, 3] -> float32 [n, 3, size, size] in 0..255.
    """

    def channel(plane: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(plane.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC))

    planes = [[channel(frame[..., c]) for c in range(3)] for frame in images.numpy()]
    return torch.from_numpy(np.stack([np.stack(frame) for frame in planes])).clamp(0, 255)


def bilinear(images: Tensor, height: int, width: int) -> Tensor:
    """uint8 [n, H, W, 3] -> float32 [n, 3, height, width] in 0..255: no antialias, half-pixel centres, not rounded."""
    planes = images.permute(0, 3, 1, 2).float()
    return F.interpolate(planes, size=(height, width), mode="bilinear", align_corners=False, antialias=False)


def central(images: Tensor, size: int) -> Tensor:
    """[n, H, W, 3] -> the central [n, size, size, 3]."""
    top, left = (images.shape[1] - size) // 2, (images.shape[2] - size) // 2
    return images[:, top : top + size, left : left + size]


def _settings(folder: Path) -> dict[str, Any]:
    for name in CONFIGS:
        if (folder / name).is_file():
            try:
                found = json.loads((folder / name).read_text(encoding="utf-8"))
            except ValueError as err:
                raise WeightsError(f"{folder / name} is not JSON ({err}); fetch or save it again") from err
            return found.get("image_processor", found)
    raise WeightsError(
        f"{folder} has no {CONFIGS[0]}; save the CLIP processor there as well: processor.save_pretrained(folder)"
    )


def _edge(size: int | dict[str, int]) -> int:
    if isinstance(size, int):
        return size
    return int(size["shortest_edge"] if "shortest_edge" in size else size["height"])
