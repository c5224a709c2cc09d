from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aptp_bench.errors import DataError
from aptp_bench.generation.images import (
    image_path,
    read_image,
    read_images,
    resize,
    square,
    stacked,
    write_image,
    write_images,
)


def pictures(n: int = 3, height: int = 8, width: int = 8) -> torch.Tensor:
    return torch.randint(0, 256, (n, height, width, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_images(tmp_path / "new", pictures(), start=0)
    assert torch.equal(read_images(tmp_path / "new"), pictures())
    assert torch.equal(read_images(tmp_path / "new", count=2), pictures()[:2])
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["000000.png", "000001.png", "000002.png"]


def test_images_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for index in (2, 0, 1):
        write_image(tmp_path, index, pictures()[index])
    assert torch.equal(read_images(tmp_path), pictures())


@pytest.mark.parametrize("content", [b"", b"not an image", "cut"])
def test_a_broken_image_is_named(tmp_path: Path, content: bytes | str) -> None:
    write_images(tmp_path, pictures(3, 40, 40))
    broken = image_path(tmp_path, 1)
    broken.write_bytes(broken.read_bytes()[:200] if isinstance(content, str) else content)
    with pytest.raises(DataError, match=r"000001\.png is broken"):
        read_images(tmp_path)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, pictures())
    image_path(tmp_path, 1).unlink()
    with pytest.raises(DataError, match=r"000001\.png is missing"):
        read_images(tmp_path, count=3)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images"):
        read_images(tmp_path)


def test_sizes_must_agree() -> None:
    with pytest.raises(DataError, match="2 sizes"):
        stacked([pictures(1, 8, 8)[0], pictures(1, 9, 8)[0]], "here")


def test_other_modes_become_rgb(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 7, np.uint8)).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png").unique().tolist() == [7]
    assert read_image(tmp_path / "grey.png").shape == (4, 4, 3)


def test_only_8_bit_images_are_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="uint8"):
        write_image(tmp_path, 0, torch.zeros(4, 4, 3))
    assert list(tmp_path.glob("*.png")) == []


def test_resize_is_pillows_or_opencvs() -> None:
    images = pictures(1, 64, 64)
    expected = np.asarray(Image.fromarray(images[0].numpy()).resize((16, 16), Image.Resampling.BICUBIC))
    assert np.array_equal(resize(images, 16)[0], expected)
    halves = torch.tensor([0, 100], dtype=torch.uint8).repeat(8)[None, None, :, None].expand(1, 16, 16, 3)
    assert resize(halves.contiguous(), 8, "bilinear").unique().tolist() == [50]
    assert torch.equal(resize(images, 64), images)


def test_bilinear_takes_two_taps_without_antialias() -> None:
    """A quarter of the size: of four pixels the middle two are read, the outer two are not."""
    row = torch.tensor([255, 10, 30, 255], dtype=torch.uint8).repeat(4)
    images = row[None, None, :, None].expand(1, 16, 16, 3).contiguous()
    assert resize(images, 4, "bilinear").unique().tolist() == [20]


def test_square_takes_the_centre() -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    assert square([Image.fromarray(wide)], 10).unique().tolist() == [200]
    assert square([Image.fromarray(wide), Image.fromarray(wide[:, :10])], 5).shape == (2, 5, 5, 3)
