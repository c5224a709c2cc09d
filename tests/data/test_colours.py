"""Colours: a profile is followed, sRGB stays to the last bit, and what is no profile of the pixels is none."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from aptp_bench.data import images

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
COLOUR = (200, 30, 90)


def _swapped(profile: bytes) -> bytes:
    """The same profile with the primaries red and green in each other's place."""
    found = bytearray(profile)
    tags = {bytes(found[at : at + 4]): at for at in range(132, 132 + 12 * struct.unpack(">I", found[128:132])[0], 12)}
    red, green = (slice(tags[name] + 4, tags[name] + 12) for name in (b"rXYZ", b"gXYZ"))
    found[red], found[green] = found[green], found[red]
    return bytes(found)


def _read(image: Image.Image, profile: bytes, kind: str = "PNG") -> np.ndarray:
    file = io.BytesIO()
    image.save(file, kind, icc_profile=profile)
    file.seek(0)
    return np.asarray(images.read(file, "x"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_are_those_that_the_profile_means(mode: str) -> None:
    image = Image.new("RGB", (4, 4), COLOUR).convert(mode, palette=Image.Palette.ADAPTIVE)
    assert np.abs(_read(image, _swapped(SRGB))[0, 0].astype(int) - [30, 200, 90]).max() <= 1


@pytest.mark.parametrize("profile", [SRGB, LAB, b"no profile" * 20])
def test_srgb_and_what_is_no_profile_of_these_pixels_change_nothing(profile: bytes) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert (_read(Image.fromarray(pixels), profile) == pixels).all()
    assert (_read(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), profile, "JPEG") == [255, 0, 0]).all()


def test_what_is_no_image_names_the_kinds_that_are_read(tmp_path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "0.png", "TIFF")
    with pytest.raises(images.DataError, match="none of JPEG, PNG, WEBP, BMP, GIF"):
        images.read(tmp_path / "0.png")
