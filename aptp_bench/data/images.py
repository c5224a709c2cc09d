"""Reading images: the one place where a file becomes pixels."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from PIL import Image

from aptp_bench.errors import DataError

SUFFIXES: frozenset[str] = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})


def read(path: Path | str | BinaryIO) -> Image.Image:
    """An image file as RGB, fully decoded. Raises DataError naming the file if it is missing, truncated or no image."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError as err:
        raise DataError(f"image {path} is missing; restore it or remove its caption") from err
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as err:
        reason = " ".join(str(err).split()) or type(err).__name__
        raise DataError(f"image {path} is broken ({reason}); replace it or remove it with its caption") from err


def inside(folder: Path, name: str) -> Path:
    """The file that data calls `name`. Raises DataError for a name, or a link, that leads out of `folder`."""
    windows = PureWindowsPath(name)
    leaves = ".." in windows.parts or windows.is_absolute() or windows.drive or PurePosixPath(name).is_absolute()
    path = folder / name
    if not name or leaves or "\0" in name or not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"file name {name!r} leads out of {folder}; names must be relative and stay inside that folder")
    return path


def listed(folder: Path) -> list[Path]:
    """The image files of a folder in the order of their names. Raises DataError if there is no such folder."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; put the images there or set dataset_config.root")
    return sorted((p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()), key=lambda p: p.name)
