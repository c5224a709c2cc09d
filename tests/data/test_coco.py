"""COCO: the official layout, the 30,000-image rule, and errors that name what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aptp_bench.config import recipe
from aptp_bench.data.coco import COCO2014, evaluation_pairs, first_captions, pairs
from aptp_bench.errors import ConfigError, DataError

REAL = Path(__file__).parents[3] / "shared" / "data" / "coco" / "annotations" / "captions_val2017.json"


def _document(images: int, each: int = 2, split: str = "train") -> dict[str, Any]:
    names = [{"id": 100 + i, "file_name": f"COCO_{split}2014_{i:012d}.png"} for i in range(images)]
    # Round after round, so that an image's captions do not follow one another, as in the real files.
    notes = [{"image_id": 100 + i, "caption": f" image {i} caption {k}\n"} for k in range(each) for i in range(images)]
    return {"images": names, "annotations": notes}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "annotations").mkdir()
    for split, count in (("train", 3), ("val", 5)):
        document = _document(count, split=split)
        (tmp_path / "annotations" / f"captions_{split}2014.json").write_text(json.dumps(document))
        (tmp_path / f"{split}2014").mkdir()
        for i, image in enumerate(document["images"]):
            Image.new("RGB", (6, 4), (i, 0, 0)).save(tmp_path / f"{split}2014" / image["file_name"])
    return tmp_path


def test_train_has_every_caption_with_its_image(root: Path) -> None:
    rows = COCO2014(root=root).load("train")
    assert len(rows) == 6
    assert rows["caption"][:4] == ["image 0 caption 0", "image 1 caption 0", "image 2 caption 0", "image 0 caption 1"]
    assert all(row["image"].getpixel((0, 0))[0] == int(row["caption"].split()[1]) for row in rows)


def test_val_draws_images_once_with_their_first_caption(root: Path) -> None:
    rows = COCO2014(root=root, val_images=4).load("val")
    order = np.random.RandomState(42).choice(5, 4, replace=False)
    assert list(rows["caption"]) == [f"image {i} caption 0" for i in order]
    assert [row["image"].getpixel((0, 0))[0] for row in rows] == list(order)


def test_a_limit_takes_the_first_rows_of_the_same_draw(root: Path) -> None:
    data = COCO2014(root=root, val_images=4)
    assert data.load("val", limit=2)["caption"][:] == data.load("val")["caption"][:2]
    assert len(data.load("train", limit=2)) == 2


def test_the_rule_for_thirty_thousand_images() -> None:
    rows = evaluation_pairs(_document(40_504), 30_000)
    assert len({row.file_name for row in rows}) == len(rows) == 30_000
    assert all(row.caption.endswith("caption 0") for row in rows)
    assert rows == evaluation_pairs(_document(40_504), 30_000)


def test_images_without_captions_are_no_candidates() -> None:
    document = _document(4)
    document["images"].append({"id": 1, "file_name": "bare.png"})
    assert len(first_captions(document)) == 4


def test_too_few_images_is_an_error_with_the_line_to_paste() -> None:
    with pytest.raises(DataError, match=r"30000 .* have 5; set dataset_config\.val_images=5"):
        evaluation_pairs(_document(5), 30_000)


def test_missing_annotations_and_folders_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"captions_train2014\.json is missing"):
        COCO2014(root=tmp_path / "nowhere").load("train")
    (root / "val2014").rename(root / "elsewhere")
    with pytest.raises(DataError, match=r"there is no folder .*val2014"):
        COCO2014(root=root, val_images=4).load("val")


def test_missing_images_are_counted(root: Path) -> None:
    (root / "train2014" / "COCO_train2014_000000000001.png").unlink()
    with pytest.raises(DataError, match=r"lacks 1 of 3 images, first 'COCO_train2014_000000000001\.png'"):
        COCO2014(root=root).load("train")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not a COCO captions file"),
        ("[1, 2]", "not a COCO captions file"),
        ('{"images": [], "annotations": [{"image_id": 999, "caption": "x"}]}', "lack 999"),
        (
            '{"images": [{"id": 1, "file_name": "../secret.png"}], "annotations": [{"image_id": 1, "caption": "x"}]}',
            "out of",
        ),
    ],
)
def test_annotations_that_do_not_fit_are_refused(root: Path, text: str, words: str) -> None:
    Image.new("RGB", (4, 4)).save(root / "secret.png")
    (root / "annotations" / "captions_train2014.json").write_text(text)
    with pytest.raises(DataError, match=words):
        COCO2014(root=root).load("train")


@pytest.mark.skipif(not REAL.is_file(), reason="real COCO captions (../shared/data/coco) are not here")
def test_the_real_captions_of_2017() -> None:
    document = json.loads(REAL.read_text(encoding="utf-8"))
    assert len(pairs(document)) == 25_014
    assert len(first_captions(document)) == 5_000
    drawn = evaluation_pairs(document, 3_000)
    assert len({row.file_name for row in drawn}) == 3_000
    assert all(row.caption and row.caption == row.caption.strip() for row in drawn)


@pytest.mark.parametrize("caption", [None, "", "  ", 3])
def test_an_annotation_without_a_caption_is_named(caption: Any) -> None:
    document = _document(2)
    document["annotations"][1] |= {"id": 77, "caption": caption}
    with pytest.raises(DataError, match="annotation 77 of COCO_train2014_000000000001"):
        pairs(document)


def test_the_year_may_be_a_number() -> None:
    assert COCO2014(year=2017).config.year == "2017"
    assert recipe("dense", "coco", "paper", settings=["dataset_config.year=2017"]).dataset_config["year"] == "2017"
    with pytest.raises(ConfigError, match="year"):
        COCO2014(year=2015)


@pytest.mark.parametrize(("edit", "words"), [
    (lambda d: d["images"].append({"id": 101, "file_name": "x.png"}), "image 101 twice"),
    (lambda d: d["images"].append({"id": 999, "file_name": d["images"][0]["file_name"]}), "file .* twice"),
    (lambda d: [note.update(id=7) for note in d["annotations"]], "annotation 7 twice"),
    (lambda d: d["images"][0].update(id=None), "image None of"),
    (lambda d: d["images"][0].update(id=float("nan")), "image nan of"),
    (lambda d: d["images"][0].update(file_name=None), "of None"),
    (lambda d: d["annotations"][0].update(caption="\u200b"), "caption that is empty"),
    (lambda d: d["annotations"][0].update(caption="a\0"), "no character"),
    (lambda d: d["annotations"][0].update(caption="\ud800"), "no character"),
    (lambda d: d["annotations"].clear(), "no caption"),
    (lambda d: d.update(annotations=["a"]), "not laid out"),
])  # fmt: skip
def test_annotations_that_say_two_things_or_nothing_are_refused(edit: Any, words: str) -> None:
    document = _document(3)
    edit(document)
    with pytest.raises(DataError, match=words):
        pairs(document)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"images": [], "images": []}'])
def test_an_annotation_file_that_cannot_be_read_is_one_line(root: Path, text: str) -> None:
    (root / "annotations" / "captions_val2014.json").write_text(text)
    with pytest.raises(DataError, match="not a COCO captions file"):
        COCO2014(root=root, val_images=4).load("val")


def test_a_name_that_no_file_has_is_named(root: Path) -> None:
    for name in ("\ud800.png", "x" * 5000):
        document = _document(1, split="val")
        document["images"][0]["file_name"] = name
        (root / "annotations" / "captions_val2014.json").write_text(json.dumps(document))
        with pytest.raises(DataError, match="none that a file can have"):
            COCO2014(root=root, val_images=1).load("val")
