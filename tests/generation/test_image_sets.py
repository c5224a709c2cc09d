from __future__ import annotations

import pytest
import torch

from aptp_bench.errors import DataError
from aptp_bench.generation.image_sets import Files, Held, Rows
from aptp_bench.generation.images import write_images
from aptp_bench.registry import get


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.randint(0, 256, (5, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_folder_is_read_block_by_block_as_it_was_written(tmp_path, pictures):
    write_images(tmp_path, pictures)
    files = Files.numbered(tmp_path, 5, "digest")
    assert len(files) == 5
    assert torch.equal(torch.cat([files.read(range(0, 2)), files.read(range(2, 5))]), pictures)


def test_files_are_brought_to_the_edge(tmp_path, pictures):
    write_images(tmp_path, pictures)
    assert Files.numbered(tmp_path, 5, "digest", edge=4).read(range(3)).shape == (3, 4, 4, 3)


def test_a_missing_and_a_broken_file_are_named(tmp_path, pictures):
    write_images(tmp_path, pictures)
    files = Files.numbered(tmp_path, 6, "digest")
    with pytest.raises(DataError, match=r"000005\.png is missing"):
        files.read(range(4, 6))
    (tmp_path / "000001.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"000001\.png is broken"):
        files.read(range(0, 2))


def test_rows_are_the_datasets_pictures():
    data = get("datasets", "coco")().load("val", 3)
    read = Rows(data, "digest", 32).read(range(1, 3))
    assert read.shape == (2, 32, 32, 3) and read.dtype == torch.uint8
    assert (
        read[0].tolist()
        == torch.frombuffer(bytearray(data[1]["image"].tobytes()), dtype=torch.uint8).view(32, 32, 3).tolist()
    )


def test_held_images_are_sliced(pictures):
    held = Held(pictures, "digest")
    assert len(held) == 5 and torch.equal(held.read(range(1, 3)), pictures[1:3])
