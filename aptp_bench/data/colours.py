"""Colours as an image's ICC profile means them: a photograph in Display P3 or Adobe RGB, or in CMYK, shown in sRGB."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

ALIKE = 2  # levels of 8 bits by which one maker's sRGB differs from another's
KINDS = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # colour space of a profile -> Pillow's mode


def in_srgb(image: Image.Image, shown: Image.Image) -> Image.Image:
    """`shown`, RGB, in sRGB. image: the same as its file has it, with the profile; one that does not fit is none, as in viewers."""
    profile = image.info.get("icc_profile")
    found = _transform(profile) if isinstance(profile, bytes) and profile else None
    if found is None or (found[0] == "CMYK") != (image.mode == "CMYK"):
        return shown
    mode, transform = found
    from PIL import ImageCms

    return ImageCms.applyTransform(image if mode == "CMYK" else shown.convert(mode), transform) or shown


@lru_cache(maxsize=16)
def _transform(profile: bytes) -> tuple[str, Any] | None:
    """(mode, to sRGB); None for what is sRGB already, up to rounding, and for what is no profile."""
    from PIL import ImageCms

    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = KINDS[opened.profile.xcolor_space.strip()]
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(opened, srgb, mode, "RGB")
    except (OSError, KeyError, ValueError, TypeError, ImageCms.PyCMSError):
        return None
    return None if mode != "CMYK" and _keeps(transform, mode) else (mode, transform)


def _keeps(transform: Any, mode: str) -> bool:
    """Whether colours all over the range stay what they are."""
    from PIL import ImageCms

    steps = np.linspace(0, 255, 256 if mode == "L" else 9).astype(np.uint8)
    grid = steps[None] if mode == "L" else np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    probe = Image.fromarray(grid)
    moved = np.asarray(ImageCms.applyTransform(probe, transform)).astype(int)
    return bool(np.abs(moved - np.asarray(probe.convert("RGB")).astype(int)).max() <= ALIKE)
