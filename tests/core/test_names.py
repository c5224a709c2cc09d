"""Order of names: numbers by value, and a list by order only where nobody could mean another."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from aptp_bench.core.names import Kind, check_order
from aptp_bench.errors import DataError

TEXTS = Kind("texts", frozenset({".txt"}), frozenset({".doc"}), "save them", (b"TEXT",))


def _files(*names: str) -> list[Path]:
    return [Path("folder") / name for name in names]


@pytest.mark.parametrize("names", [
    ["0.png", "2.png", "10.png"], ["a-1.png", "a-2.png", "a-10.png", "b-1.png"], ["IMG_1.PNG", "img_2.jpg"],
    ["0.25.png", "0.50.png", "1.00.png"], ["1e1.png", "2e1.png"], ["cat.png", "dog 1.png", "dog 12.png"],
    ["caf\u00e9.png", "dog.png"], ["cafe\u0301.png", "dog.png"],
])  # fmt: skip
def test_an_order_that_everybody_means_is_taken(names: list[str]) -> None:
    check_order(_files(*names))


@pytest.mark.parametrize("names", [
    ["-2.png", "-1.png", "0.png"], ["-2.png", "-1.png"], ["0.5.png", "0.10.png", "0.25.png"], ["1e3.png", "2e1.png"],
    ["a.png", "B.png"], ["0a.png", "1f.png", "10.png", "ff.png"], ["0.png", "0 (1).png", "1.png"], ["a.png", "a-1.png"],
    ["1.png", "01.png"], ["I.png", "i.png"], ["fa.png", "\u00e9cole.png"], ["fa.png", "e\u0301cole.png"], ["x.png", "A\u030a.png"],
])  # fmt: skip
def test_an_order_that_is_not_clear_is_asked_about(names: list[str]) -> None:
    for given in (names, names[::-1]):
        with pytest.raises(DataError, match="order is not clear; name them"):
            check_order(_files(*given), "name them")


@pytest.mark.parametrize("name", ["2.txt ", "2.txt.", "2.txt.part", "2.TXT.crdownload", "2.doc.tmp", "2"])
def test_a_file_under_another_name_is_not_left_out(tmp_path: Path, name: str) -> None:
    (tmp_path / "1.txt").write_text("x")
    for harmless in ("2.txt~", "2.json", "2.txt.json", "notes", ".2.txt.part", "3"):
        (tmp_path / harmless).write_text("x")
    assert TEXTS.files(tmp_path) == [tmp_path / "1.txt"]
    (tmp_path / name).write_text("TEXT")
    with pytest.raises(DataError, match="does not end as texts do"):
        TEXTS.files(tmp_path)


def test_folders_below_are_looked_through_however_deep(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(1_200):
        deep /= "x"
        deep.mkdir()
    try:
        assert TEXTS.files(tmp_path) == []
        (deep / "1.txt").write_text("x")
        with pytest.raises(DataError, match="in its folder x too"):
            TEXTS.files(tmp_path)
    finally:
        subprocess.run(["rm", "-r", str(tmp_path / "x")], check=True)  # shutil's way is as deep as the stack
