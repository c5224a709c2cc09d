"""Reading images: the one place where a file becomes pixels."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from aptp_bench.core.names import natural
from aptp_bench.errors import DataError

SUFFIXES: frozenset[str] = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
OTHERS: frozenset[str] = frozenset({".gif", ".tif", ".tiff", ".avif", ".heic", ".jfif", ".jp2", ".jxl"})  # images too
DEEP = 65_535  # white of 16 bits


def read(path: Path | str | BinaryIO, name: str | None = None) -> Image.Image:
    """An image file as `rgb` makes it, fully decoded. Raises DataError naming the file if it is missing, broken or no single image.

    name: how errors call what is no file.
    """
    try:
        with Image.open(path) as image:
            return rgb(image)
    except FileNotFoundError as err:
        raise DataError(f"image {name or path} is missing; restore it, or make it again") from err
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as err:
        reason = " ".join(str(err).split()) or type(err).__name__
        raise DataError(f"image {name or path} is broken ({reason}); replace it, or make it again") from err


def rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB as a viewer shows it: upright by its EXIF orientation, transparent pixels over white, 16 bits scaled to 8.

    Raises ValueError for several frames, of which one would stand for all, and for pixels of floating point, whose range is unknown.
    """
    # a camera's MPO is one picture and its previews
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > 1:
        raise ValueError(f"it has {frames} frames; save the one that is meant")
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError("its pixels are of floating point; save it with 8 bits")
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        image = Image.fromarray(((deep.clip(0, DEEP) * 255 + DEEP // 2) // DEEP).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def inside(folder: Path, name: str) -> Path:
    """The file that data calls `name`. Raises DataError for a name, or a link, that leads out of `folder`."""
    windows = PureWindowsPath(name)
    leaves = ".." in windows.parts or windows.is_absolute() or windows.drive or PurePosixPath(name).is_absolute()
    path = folder / name
    if not name or leaves or "\0" in name or not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"file name {name!r} leads out of {folder}; names must be relative and stay inside that folder")
    return path


def listed(folder: Path) -> list[Path]:
    """The image files of a folder, 2.png before 10.png; hidden files are none of them.

    Raises DataError if there is no such folder, and for images of a kind that is not read: left out, they would be missed.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; put the images there or set dataset_config.root")
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    if other := sorted(path.name for path in files if path.suffix.lower() in OTHERS):
        raise DataError(
            f"{folder} holds {len(other)} images of another kind, first {other[0]}; save them as PNG or JPEG"
        )
    return sorted((p for p in files if p.suffix.lower() in SUFFIXES), key=lambda path: natural(path.name))
