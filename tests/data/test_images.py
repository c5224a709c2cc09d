"""Reading and naming image files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aptp_bench.data import images
from aptp_bench.errors import DataError


def _save(path: Path, size: tuple[int, int] = (40, 24), mode: str = "RGB") -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1"])
def test_every_mode_is_read_as_rgb(tmp_path: Path, mode: str) -> None:
    assert images.read(_save(tmp_path / "a.png", mode=mode)).mode == "RGB"


def test_a_broken_or_missing_image_is_named(tmp_path: Path) -> None:
    path = _save(tmp_path / "cut.jpg", (200, 200))
    path.write_bytes(path.read_bytes()[:2_000])
    (tmp_path / "a.png").write_text("not an image")
    for name, words in (("cut.jpg", "broken"), ("a.png", "broken"), ("gone.png", "missing")):
        with pytest.raises(DataError, match=f"{name} is {words}") as caught:
            images.read(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["../a.png", "x/../../a.png", "/etc/passwd", "..", "", "a\0.png", "..\\a.png", "C:\\a.png", "\\\\host\\a.png"],
)
def test_names_never_lead_out_of_their_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="leads out of"):
        images.inside(tmp_path, name)


def test_links_never_lead_out_of_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match="leads out of"):
        images.inside(folder, "link.png")


def test_names_below_the_folder_are_fine(tmp_path: Path) -> None:
    assert images.inside(tmp_path, "00001/a.png") == tmp_path / "00001" / "a.png"


def test_listed_sorts_images_and_skips_the_rest(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "captions.txt", "c.webp"):
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in images.listed(tmp_path)] == ["a.JPG", "b.png", "c.webp"]
    with pytest.raises(DataError, match="there is no folder"):
        images.listed(tmp_path / "none")
