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


def test_listed_follows_the_numbers_and_leaves_hidden_files_out(tmp_path: Path) -> None:
    for name in ("10.png", "9.png", "1.png", "._1.png"):
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in images.listed(tmp_path)] == ["1.png", "9.png", "10.png"]
    (tmp_path / "2.tiff").write_bytes(b"")
    with pytest.raises(DataError, match=r"2\.tiff"):
        images.listed(tmp_path)


def test_a_photograph_stands_upright(tmp_path: Path) -> None:
    pixels = np.zeros((4, 8, 3), dtype=np.uint8)
    pixels[:, :4] = (255, 0, 0)  # the left half is red
    for turned, where in ((1, (1, 2)), (6, (2, 1)), (3, (6, 2)), (8, (2, 6))):
        exif = Image.Exif()
        exif[0x0112] = turned
        Image.fromarray(pixels).save(tmp_path / f"{turned}.png", exif=exif)
        found = images.read(tmp_path / f"{turned}.png")
        assert found.size == ((8, 4) if turned in (1, 3) else (4, 8))
        assert found.getpixel(where) == (255, 0, 0)


def test_transparent_pixels_are_white_and_half_of_them_half(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[255, 0, 0, a] for a in (0, 128, 255)]], dtype=np.uint8)).save(tmp_path / "a.png")
    found = np.asarray(images.read(tmp_path / "a.png"))[0].tolist()
    assert found[0] == [255, 255, 255] and found[2] == [255, 0, 0]
    assert found[1][0] == 255 and abs(found[1][1] - 127) <= 1
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), "L").convert("P")
    palette.save(tmp_path / "p.png", transparency=0)
    assert np.asarray(images.read(tmp_path / "p.png"))[0, 0].tolist() == [255, 255, 255]


def test_sixteen_bits_keep_their_greys(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65_535, 256).round().astype(np.uint16)[None]
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    found = np.asarray(images.read(tmp_path / "deep.png"))[0, :, 0]
    assert np.array_equal(found, np.arange(256))


@pytest.mark.parametrize("suffix", ["webp", "png"])
def test_moving_pictures_are_refused(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (4, 4), (i, 0, 0)) for i in (0, 200)]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="2 frames"):
        images.read(tmp_path / f"a.{suffix}")


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    with pytest.raises(DataError, match=r"bomb\.png"):
        images.read(tmp_path / "bomb.png")
