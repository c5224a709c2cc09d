"""Tables: columns of the contract, read when looked at, broken rows named."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from aptp_bench.data import table
from aptp_bench.errors import DataError


def _files(folder: Path, count: int = 3) -> list[Path]:
    paths = [folder / f"{i}.png" for i in range(count)]
    for i, path in enumerate(paths):
        Image.new("L", (8 + i, 8), 10 * i).save(path)
    return paths


def test_rows_are_rgb_images_with_captions(tmp_path: Path) -> None:
    rows = table.of_files(_files(tmp_path), ["a", "b", "c"], "three greys")
    assert set(rows.column_names) == {"image", "caption"}
    assert rows.info.description == "three greys"
    assert [row["caption"] for row in rows] == list(rows["caption"]) == ["a", "b", "c"]
    assert rows[1]["image"].mode == "RGB"
    assert rows[1]["image"].getpixel((0, 0)) == (10, 10, 10)
    assert [image.size for image in rows[:]["image"]] == [(8, 8), (9, 8), (10, 8)]


def test_selecting_and_shuffling_keep_reading(tmp_path: Path) -> None:
    rows = table.of_files(_files(tmp_path), ["a", "b", "c"]).shuffle(seed=0).select([0, 1])
    assert all(isinstance(row["image"], Image.Image) for row in rows)


def test_a_broken_row_is_named_when_looked_at(tmp_path: Path) -> None:
    paths = _files(tmp_path)
    paths[1].write_bytes(paths[1].read_bytes()[:40])
    rows = table.of_files(paths, ["a", "b", "c"])
    assert rows[0]["caption"] == "a"
    with pytest.raises(DataError, match=r"1\.png is broken"):
        rows[1]
    with pytest.raises(DataError, match=r"1\.png is broken"):
        list(rows)


def test_first_bounds_the_rows() -> None:
    assert table.first(None, 5) == table.first(9, 5) == 5
    assert table.first(2, 5) == 2
    assert table.first(0, 5) == 0
    with pytest.raises(DataError, match="-1 rows"):
        table.first(-1, 5)


def test_a_file_whose_name_is_no_text_is_named() -> None:
    with pytest.raises(DataError, match="no UTF-8 text; rename it"):
        table.of_files(["a\udcff.png"], ["a"])
