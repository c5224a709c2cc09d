"""Reading images: the one place where a file becomes pixels."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from aptp_bench.core.names import Kind
from aptp_bench.data import png
from aptp_bench.data.colours import in_srgb
from aptp_bench.errors import DataError

SUFFIXES: frozenset[str] = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
# images too: all that Pillow knows, and a few that it does not
_OTHERS = """
.apng .avif .avifs .blp .bw .cur .dcx .dds .dib .emf .eps .fit .fits .flc .fli .ftc .ftu .gbr .gif .heic .heics .heif .heifs .hif .icb .icns
.ico .iim .im .j2c .j2k .jfif .jpc .jpe .jpf .jp2 .jpx .jxl .mpo .msp .palm .pbm .pcd .pcx .pfm .pgm .pnm .ppm .ps .psd .pxr
.qoi .ras .rgb .rgba .sgi .svg .svgz .tga .tif .tiff .vda .vst .wmf .xbm .xpm .exr .hdr .dng .cr2 .nef .arw
"""
OTHERS: frozenset[str] = frozenset(_OTHERS.split())
HEADS = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"RIFF")
KIND = Kind("images", SUFFIXES, OTHERS, "save them as PNG or JPEG", HEADS)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")  # by content; GIF: what the web calls .jpg may be one
GREYS = {"L;2": 85, "L;4": 17}  # how Pillow calls a PNG's grey of few bits, and a step of it in 8 bits
LONGEST = 255  # bytes of a file's name on common systems
DEEP = 65_535  # white of 16 bits


def read(path: Path | str | IO[bytes], name: str | None = None) -> Image.Image:
    """An image file as `rgb` makes it, fully decoded. Raises DataError naming the file if it is missing, broken or no single image.

    name: how errors call what is no file.
    """
    try:
        with open(path, "rb") if isinstance(path, str | Path) else nullcontext(path) as file:
            if wrong := png.flaw(file):
                raise ValueError(wrong)
            with Image.open(file, formats=FORMATS) as image:
                return rgb(image)
    except FileNotFoundError as err:
        raise DataError(f"image {name or path} is missing; restore it, or make it again") from err
    except UnidentifiedImageError as err:
        raise DataError(
            f"image {name or path} is broken, or none of {', '.join(FORMATS)}; replace it, or save it as PNG"
        ) from err
    except MemoryError:  # says nothing about the file
        raise
    except (
        Exception
    ) as err:  # Pillow's readers raise whatever the bytes bring about: struct.error, TypeError, RuntimeError, …
        reason = " ".join(str(err).split()) or type(err).__name__
        raise DataError(f"image {name or path} is broken ({reason}); replace it, or make it again") from err


def opens(file: IO[bytes]) -> bool:
    """Whether the head of an image can be read; its pixels are not."""
    try:
        Image.open(file, formats=FORMATS).close()
        return True
    except MemoryError:
        raise
    except Exception:  # as in `read`
        return False


def rgb(image: Image.Image) -> Image.Image:
    """8-bit sRGB as a viewer shows it: upright, transparent pixels over white, 16 bits scaled to 8, colours by their ICC profile.

    Raises ValueError for several frames, of which one would stand for all, and for pixels of floating point, whose range is unknown.
    """
    # a camera's MPO is one picture and its previews
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > 1:
        raise ValueError(f"it has {frames} frames; save the one that is meant")
    clear = _clear(image)
    image = whole = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError("its pixels are of floating point; save it with 8 bits")
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        if clear is not None:
            deep[deep == clear] = DEEP
        image = Image.fromarray(((deep.clip(0, DEEP) * 255 + DEEP // 2) // DEEP).astype(np.uint8))
    elif clear is not None:
        image.info["transparency"] = clear
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return in_srgb(whole, image.convert("RGB"))


def _clear(image: Image.Image) -> Any:
    """The colour, or the entry of a palette, that a PNG calls transparent, as its decoded pixels have it; None if there is none.

    Pillow keeps the file's number, and scales the pixels of 2 and 4 bits to 8, and those of three times 16. In a loaded image
    that can no longer be told.
    """
    found: Any = image.info.get("transparency")
    tiles: Any = getattr(image, "tile", None)
    raw = tiles[0][3] if tiles and found is not None else None
    if raw in GREYS:
        return found * GREYS[raw]
    return tuple(part >> 8 for part in found) if raw == "RGB;16B" else found


def inside(folder: Path, name: str) -> Path:
    """The file that data calls `name`. Raises DataError for a name, or a link, that leads out of `folder`."""
    windows = PureWindowsPath(name)
    leaves = ".." in windows.parts or windows.is_absolute() or windows.drive or PurePosixPath(name).is_absolute()
    path = folder / name
    odd = any("\ud800" <= letter <= "\udfff" for letter in name)
    if odd or any(len(part.encode()) > LONGEST for part in PurePosixPath(name).parts):
        raise DataError(f"file name {name[:60]!r} is none that a file can have; write it as the file is called")
    if not name or leaves or "\0" in name or not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"file name {name!r} leads out of {folder}; names must be relative and stay inside that folder")
    return path


def listed(folder: Path) -> list[Path]:
    """The image files of a folder, 2.png before 10.png; hidden files are none of them.

    Raises DataError if there is no such folder, and for images that would be left out and missed, as `Kind.files` does.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; put the images there or set dataset_config.root")
    return KIND.files(folder)
