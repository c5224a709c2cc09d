"""CC3M: tables of paths or URLs, dead links left out and counted, nothing outside the folder."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from PIL import Image

from aptp_bench.data.cc3m import CC3M, rows
from aptp_bench.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images" / "00000").mkdir(parents=True)
    for i in range(3):
        Image.new("RGB", (5, 5), (i, 0, 0)).save(tmp_path / "images" / "00000" / f"{i}.png")
    (tmp_path / "train.tsv").write_text("".join(f"caption {i}\t00000/{i}.png\n" for i in range(3)))
    return tmp_path


def _download(root: Path, number: int, url: str, suffix: str) -> None:
    folder = root / "images" / "validation"
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (5, 5), (number, 0, 0)).save(folder / f"{number}_{zlib.crc32(url.encode())}{suffix}", "png")


def test_paths_are_relative_to_the_images(root: Path) -> None:
    data = CC3M(root=root).load("train")
    assert list(data["caption"]) == ["caption 0", "caption 1", "caption 2"]
    assert [row["image"].getpixel((0, 0))[0] for row in data] == [0, 1, 2]
    assert len(CC3M(root=root).load("train", limit=2)) == 2


def test_dead_links_are_left_out_and_counted(root: Path) -> None:
    urls = [f"http://example.org/{i}.jpg" for i in range(4)]
    lines = "".join(f"picture {i}\t{url}\n" for i, url in enumerate(urls))
    (root / "Validation_GCC-1.1.0-Validation.tsv").write_text(lines)
    _download(root, 1, urls[1], "")
    _download(root, 3, urls[3], ".jpg")
    data = CC3M(root=root).load("val")
    assert list(data["caption"]) == ["picture 1", "picture 3"]
    assert [row["image"].getpixel((0, 0))[0] for row in data] == [1, 3]
    assert "2 rows left out" in data.info.description


def test_no_download_at_all_is_an_error(root: Path) -> None:
    (root / "val.tsv").write_text("a\thttp://example.org/a.jpg\n")
    with pytest.raises(DataError, match="holds none of the images of 'val'"):
        CC3M(root=root).load("val")


def test_two_downloads_of_one_row_are_refused(root: Path) -> None:
    """Which of them is read would be the file system's choice."""
    (root / "images" / "training").mkdir(exist_ok=True)
    for name in ("0_12.jpg", "0_12.png"):
        Image.new("RGB", (4, 4)).save(root / "images" / "training" / name)
    with pytest.raises(DataError, match=r"0_12\.jpg and 0_12\.png for one row"):
        CC3M(root=root).load("train")


def test_a_missing_path_is_an_error(root: Path) -> None:
    (root / "images" / "00000" / "1.png").unlink()
    with pytest.raises(DataError, match=r"1\.png of row 2 is missing"):
        CC3M(root=root).load("train")


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "00000/../../secret.png"])
def test_paths_never_leave_the_folder(root: Path, name: str) -> None:
    Image.new("RGB", (4, 4)).save(root / "secret.png")
    (root / "train.tsv").write_text(f"a secret\t{name}\n")
    with pytest.raises(DataError, match="leads out of"):
        CC3M(root=root).load("train")


@pytest.mark.parametrize("line", ["no tab", "\ta.png", "caption\t", ""])
def test_a_malformed_line_is_named(root: Path, line: str) -> None:
    (root / "train.tsv").write_text(f"fine\ta.png\n{line}\n")
    with pytest.raises(DataError, match=r"train\.tsv line 2"):
        list(rows(root / "train.tsv"))


def test_text_that_is_not_utf8(root: Path) -> None:
    (root / "train.tsv").write_bytes(b"caf\xe9\ta.png\n")
    with pytest.raises(DataError, match="UTF-8"):
        CC3M(root=root).load("train")


def test_missing_tables_and_folders_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither val\.tsv nor Validation_GCC"):
        CC3M(root=root).load("val")
    with pytest.raises(DataError, match=r"there is no folder"):
        CC3M(root=tmp_path / "nowhere").load("train")


def test_a_table_is_read_as_captions_are(root: Path) -> None:
    (root / "train.tsv").write_text("\ufeffa car\t00000/0.png\n", encoding="utf-8")
    assert list(CC3M(root=root).load("train")["caption"]) == ["a car"]
    for caption in ("\u200b", "a\0", "a " * 6000):
        (root / "train.tsv").write_text(f"a car\t00000/0.png\n{caption}\t00000/1.png\n", encoding="utf-8")
        with pytest.raises(DataError, match=r"line 2: .*caption"):
            CC3M(root=root).load("train")
