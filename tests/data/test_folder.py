"""Any folder of images: three caption files, two ways to split, one clear line for every mismatch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from aptp_bench.data.captions import prompts
from aptp_bench.data.folder import Folder, rows
from aptp_bench.errors import DataError


def _fill(folder: Path, count: int = 4) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", (5, 5), (i, 0, 0)).save(folder / f"{i:02d}.png")
    (folder / "captions.txt").write_text("".join(f"number {i}\n" for i in range(count)))
    return folder


def _captions_as(folder: Path, name: str, text: str) -> None:
    (folder / "captions.txt").unlink()
    (folder / name).write_text(text)


def test_lines_follow_the_sorted_names(tmp_path: Path) -> None:
    assert [(p.name, c) for p, c in rows(_fill(tmp_path))][:2] == [("00.png", "number 0"), ("01.png", "number 1")]


def test_json_and_csv_say_the_same(tmp_path: Path) -> None:
    expected = rows(_fill(tmp_path))
    table = {p.name: c for p, c in reversed(expected)}
    _captions_as(tmp_path, "captions.json", json.dumps(table))
    assert rows(tmp_path) == expected
    (tmp_path / "captions.json").unlink()
    (tmp_path / "captions.csv").write_text("file,caption\n" + "".join(f'{n},"{c}"\n' for n, c in table.items()))
    assert rows(tmp_path) == expected


@pytest.mark.parametrize("name", ["captions.json", "captions.csv"])
def test_a_name_is_found_however_its_accents_are_encoded_and_two_are_told(tmp_path: Path, name: str) -> None:
    whole, parts = "\u00e9.png", "e\u0301.png"
    for each in (parts, "z.png"):
        Image.new("RGB", (5, 5)).save(tmp_path / each)
    text = json.dumps({whole: "a", "z.png": "b"}) if name.endswith("json") else f"file,caption\n{whole},a\nz.png,b\n"
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert [caption for _, caption in rows(tmp_path)] == ["a", "b"]
    Image.new("RGB", (5, 5)).save(tmp_path / whole)
    if len(list(tmp_path.glob("*.png"))) == 2:
        pytest.skip("this file system knows one encoding")
    with pytest.raises(DataError, match="twice"):
        rows(tmp_path)


@pytest.mark.parametrize("unseen", ["\u200b", "\u200d", "\ufeff", "\u2028", "\u00ad \u3000"])
@pytest.mark.parametrize("name", ["captions.txt", "captions.json", "captions.csv"])
def test_a_caption_that_shows_nothing_is_none(tmp_path: Path, name: str, unseen: str) -> None:
    Image.new("RGB", (5, 5)).save(tmp_path / "0.png")
    for text, fine in ((unseen, False), (f"a{unseen}b", True)):
        written = {
            ".txt": f"{text}\n", ".json": json.dumps({"0.png": text}), ".csv": f"file,caption\n0.png,{text}\n",
        }[Path(name).suffix]  # fmt: skip
        (tmp_path / name).write_text(written, encoding="utf-8")
        if fine:
            assert [caption for _, caption in rows(tmp_path)] == [text]
        else:
            with pytest.raises(DataError, match=r"empty|captions for 1 images"):
                rows(tmp_path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_captions_and_prompts_are_split_alike(tmp_path: Path, end: str) -> None:
    """By every system's ends of lines, and by nothing else."""
    lines = ["a cat", "two\u2028dogs", "a\x0cboat", "a red\x85car"]
    _fill(tmp_path)
    (tmp_path / "captions.txt").write_bytes("".join(line + end for line in lines).encode("utf-8-sig"))
    assert [caption for _, caption in rows(tmp_path)] == prompts(tmp_path / "captions.txt") == lines


def test_every_nth_image_is_held_out(tmp_path: Path) -> None:
    data = Folder(root=_fill(tmp_path, 7), val_every=3)
    assert list(data.load("val")["caption"]) == ["number 2", "number 5"]
    assert list(data.load("train")["caption"]) == [f"number {i}" for i in (0, 1, 3, 4, 6)]
    assert data.load("val")[0]["image"].getpixel((0, 0)) == (2, 0, 0)
    assert len(data.load("train", limit=2)) == 2
    assert len(data.load("train", limit=0)) == 0


def test_folders_named_after_the_splits_are_the_splits(tmp_path: Path) -> None:
    _fill(tmp_path / "train", 3)
    _fill(tmp_path / "val", 2)
    data = Folder(root=tmp_path)
    assert [len(data.load(split)) for split in data.splits] == [3, 2]


def test_a_split_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"leaves 'val' empty.*val_every"):
        Folder(root=_fill(tmp_path, 4)).load("val")


def test_exactly_one_captions_file(tmp_path: Path) -> None:
    _fill(tmp_path)
    (tmp_path / "captions.json").write_text("{}")
    with pytest.raises(DataError, match=r"captions\.txt and captions\.json; keep exactly one"):
        rows(tmp_path)
    (tmp_path / "captions.json").unlink()
    (tmp_path / "captions.txt").unlink()
    with pytest.raises(DataError, match="has no captions file"):
        rows(tmp_path)


@pytest.mark.parametrize(("name", "text", "words"), [
    ("captions.txt", "zero\n", "1 captions for 2 images"),
    ("captions.txt", "zero\none\ntwo\n", "3 captions for 2 images"),
    ("captions.txt", "zero\n\n", "captions.txt"), ("captions.txt", "", "captions.txt"),
    ("captions.json", '{"00.png": "zero"}', r"01\.png has no caption"),
    ("captions.json", '{"00.png": "a", "01.png": "b", "02.png": "c"}', "02.png has no image"),
    ("captions.json", '{"00.png": "a", "01.png": "b", "sub/00.png": "c"}', "sub/00.png has no image"),
    ("captions.json", '{"../secret.png": "x"}', "leads out of"),
    ("captions.csv", "file,caption\n../secret.png,x\n", "leads out of"),
    ("captions.json", "{", "captions.json"), ("captions.json", "[]", "captions.json"),
    ("captions.json", '{"00.png": 3}', "captions.json"), ("captions.csv", "00.png,zero\n01.png,one\n", "captions.csv"),
    ("captions.csv", "file,caption\n00.png\n", "captions.csv"),
    ("captions.csv", "file,caption\n00.png,a\n00.png,b\n01.png,c\n", "captions.csv"),
])  # fmt: skip
def test_captions_that_do_not_fit_the_images_are_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    folder = _fill(tmp_path / "images", 2)
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    _captions_as(folder, name, text)
    with pytest.raises(DataError, match=words) as caught:
        rows(folder)
    assert "\n" not in str(caught.value)


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    _fill(tmp_path, 1)
    (tmp_path / "captions.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match="UTF-8"):
        rows(tmp_path)


@pytest.mark.parametrize(("name", "text", "words"), [
    ("captions.txt", "zero\n\ntwo\n", "line 2, of 01.png, is empty"), ("captions.txt", "zero\n\none\ntwo\n", "line 2 is empty"),
    ("captions.csv", "file,caption\n00.png,a red car, on a beach\n01.png,b\n02.png,c\n", "line 2 has 3 fields"),
    ("captions.csv", 'file,caption\n00.png,"a\n01.png,b\n02.png,c\n', "captions.csv"),
    ("captions.csv", "caption,file\n", "start it with"), ("captions.csv", "", "starts with nothing"),
    ("captions.csv", f"file,caption\n00.png,{'x' * 200_000}\n", "field"),
    ("captions.json", '{"00.png": "a", "00.png": "b", "01.png": "c", "02.png": "d"}', "twice"),
    ("captions.json", '{"00.png": "\\ud800", "01.png": "c", "02.png": "d"}', "no character"),
    ("captions.json", '{"a":' * 100_000, "is not JSON"),
])  # fmt: skip
def test_no_caption_is_lost_or_taken_for_another(tmp_path: Path, name: str, text: str, words: str) -> None:
    folder = _fill(tmp_path, 3)
    _captions_as(folder, name, text)
    with pytest.raises(DataError, match=words) as caught:
        rows(folder)
    assert "\n" not in str(caught.value)


def test_a_caption_may_have_commas_and_lines_and_accents_may_be_written_in_two_ways(tmp_path: Path) -> None:
    for name in ("caf\u00e9.png", "10.png", "9.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    text = 'file,caption\r\n"9.png","a car,\non a beach"\r\n10.png,two\r\ncafe\u0301.png,three\r\n'
    (tmp_path / "captions.csv").write_text(text, encoding="utf-8", newline="")
    found = {path.name: caption for path, caption in rows(tmp_path)}
    assert list(found)[:2] == ["9.png", "10.png"]
    assert found["9.png"] == "a car,\non a beach" and found["caf\u00e9.png"] == "three"


def test_lines_go_by_the_numbers_of_the_files(tmp_path: Path) -> None:
    for i in range(12):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{i}.png")
    (tmp_path / "captions.txt").write_text("".join(f"number {i}\n" for i in range(12)) + "\n\n")
    assert all(caption == f"number {path.stem}" for path, caption in rows(tmp_path))


@pytest.mark.parametrize(
    "row", ["00.png\ta car", "00.png,a car", '"00.png": a car', '{"file": "00.png", "text": "a car"}']
)
def test_rows_of_a_table_are_no_captions(tmp_path: Path, row: str) -> None:
    folder = _fill(tmp_path, 2)
    (folder / "captions.txt").write_text(f"a 00.png of a car\n{row}\n")
    with pytest.raises(DataError, match="line 2 is a row of a table"):
        rows(folder)


@pytest.mark.parametrize("suffix", [".jsonl", ".tsv", ".yaml", ".gz", ".CSV"])
def test_a_table_is_no_list_of_prompts_nor_is_json_whatever_it_is_called(tmp_path: Path, suffix: str) -> None:
    for name, text in ((f"prompts{suffix}", "a car\n"), ("prompts.txt", 'a car\n{"prompt": "a car"}\n')):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=r"no list of prompts|line 2 is a row of JSON"):
            prompts(tmp_path / name)


def test_a_quoted_field_is_quoted_behind_a_blank_too(tmp_path: Path) -> None:
    _captions_as(_fill(tmp_path, 2), "captions.csv", 'file, caption\n00.png, "a car, red"\n01.png, "b"\n')
    assert [caption for _, caption in rows(tmp_path)] == ["a car, red", "b"]


def test_a_list_by_order_needs_one_and_names_do_without(tmp_path: Path) -> None:
    for name in ("0a.png", "1f.png", "10.png"):
        Image.new("RGB", (5, 5)).save(tmp_path / name)
    (tmp_path / "captions.txt").write_text("a\nb\nc\n")
    with pytest.raises(DataError, match=r"not clear; .* \.json or \.csv"):
        rows(tmp_path)
    _captions_as(tmp_path, "captions.json", '{"10.png": "c", "0a.png": "a", "1f.png": "b"}')
    assert {path.name: caption for path, caption in rows(tmp_path)} == {"0a.png": "a", "1f.png": "b", "10.png": "c"}
