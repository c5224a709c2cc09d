from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aptp_bench.data import table
from aptp_bench.errors import DataError
from aptp_bench.generation import image_sets
from aptp_bench.generation.image_sets import Files, Held, Rows
from aptp_bench.generation.images import image_path, write_image
from aptp_bench.registry import get


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.randint(0, 256, (5, 40, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path: Path, pictures: torch.Tensor) -> Path:
    """The pictures, written in another order than that of their numbers."""
    for index in (2, 0, 1, 4, 3):
        write_image(tmp_path / "new", index, pictures[index])
    return tmp_path / "new"


def test_a_folder_is_read_block_by_block_as_it_was_written(folder, pictures):
    files = Files.numbered(folder, 5, "digest")
    assert len(files) == 5
    assert sorted(path.name for path in folder.iterdir()) == [f"00000{i}.png" for i in range(5)]
    assert torch.equal(torch.cat([files.read(range(0, 2)), files.read(range(2, 5))]), pictures)


def test_files_are_brought_to_the_edge_as_pillow_does(folder, pictures):
    assert torch.equal(Files.numbered(folder, 5, "digest", edge=40).read(range(5)), pictures)
    found = Files.numbered(folder, 5, "digest", edge=16).read(range(3))
    expected = Image.fromarray(pictures[1].numpy()).resize((16, 16), Image.Resampling.BICUBIC)
    assert found.shape == (3, 16, 16, 3) and np.array_equal(found[1], np.asarray(expected))


@pytest.mark.parametrize("content", [b"", b"not an image", "cut"])
def test_a_missing_and_a_broken_file_are_named(folder, content):
    files = Files.numbered(folder, 6, "digest")
    with pytest.raises(DataError, match=r"000005\.png is missing"):
        files.read(range(4, 6))
    broken = image_path(folder, 1)
    broken.write_bytes(broken.read_bytes()[:200] if isinstance(content, str) else content)
    with pytest.raises(DataError, match=r"000001\.png is broken"):
        files.read(range(0, 2))


def test_sizes_must_agree_and_other_modes_become_rgb(tmp_path):
    paths = [tmp_path / "grey.png", tmp_path / "large.png"]
    for size, path in zip((4, 5), paths, strict=True):
        Image.fromarray(np.full((size, size), 7, np.uint8)).save(path)
    assert Files(paths[:1], "digest").read(range(1)).tolist() == [[[[7] * 3] * 4] * 4]
    for block in (range(2), range(1, 2)):  # wherever it stands
        with pytest.raises(DataError, match=r"large\.png has 5x5 pixels and grey\.png 4x4"):
            Files(paths, "digest").read(block)


def test_only_8_bit_images_are_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="uint8"):
        write_image(tmp_path, 0, torch.zeros(4, 4, 3))
    assert list(tmp_path.glob("*.png")) == []


def test_rows_are_the_datasets_pictures():
    data = get("datasets", "coco")().load("val", 3)
    read = Rows(data, "digest", 32).read(range(1, 3))
    assert read.shape == (2, 32, 32, 3) and read.dtype == torch.uint8
    assert (
        read[0].tolist()
        == torch.frombuffer(bytearray(data[1]["image"].tobytes()), dtype=torch.uint8).view(32, 32, 3).tolist()
    )


def test_rows_are_central_squares(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    for name, image in (("wide", wide), ("dark", wide[:, :10])):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    rows = Rows(table.of_files([tmp_path / "wide.png", tmp_path / "dark.png"], ["", ""]), "digest", 5)
    wide, dark = rows.read(range(2))
    assert wide.shape == dark.shape == (5, 5, 3)
    assert wide.unique().tolist() == [200] and dark.unique().tolist() == [0]


def test_held_images_are_sliced(pictures):
    held = Held(pictures, "digest")
    assert len(held) == 5 and torch.equal(held.read(range(1, 3)), pictures[1:3])


@pytest.fixture
def large(tmp_path: Path) -> Files:
    """Images of which workers decode some ahead."""
    edge = math.isqrt(image_sets.LARGE)
    pictures = torch.randint(0, 256, (7, edge, edge, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    for index, picture in enumerate(pictures):
        write_image(tmp_path / "large", index, picture)
    return Files.numbered(tmp_path / "large", 7, "digest", edge=16)


def test_blocks_that_are_read_ahead_are_those_that_are_read(large, monkeypatch):
    monkeypatch.setattr(image_sets, "processors", lambda: 2)
    blocks = [range(4, 7), range(0, 2), range(2, 4)]
    for found, block in zip(large.ahead(blocks), blocks, strict=True):
        assert torch.equal(found, large.read(block))
    monkeypatch.setattr(image_sets, "processors", lambda: 1)
    assert [len(found) for found in large.ahead(blocks)] == [3, 2, 2]


def test_a_broken_file_that_a_worker_meets_is_named(large, monkeypatch):
    monkeypatch.setattr(image_sets, "processors", lambda: 2)
    large.paths[5].write_bytes(b"not an image")
    found = large.ahead([range(0, 2), range(2, 4), range(4, 7)])
    assert [len(next(found)) for _ in range(2)] == [2, 2]
    with pytest.raises(DataError, match=r"000005\.png"):
        next(found)
