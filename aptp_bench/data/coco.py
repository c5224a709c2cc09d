"""MS-COCO Captions from a local folder in the official layout.

    root/annotations/captions_train2014.json, captions_val2014.json
    root/train2014/*.jpg, root/val2014/*.jpg

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014, arXiv:1405.0312.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BeforeValidator, Field

from aptp_bench.contracts.base import PluginConfig
from aptp_bench.contracts.dataset import DatasetPlugin
from aptp_bench.core.documents import EXECUTION
from aptp_bench.core.texts import brief, decoded, flaw, unambiguous_json
from aptp_bench.data import images, table
from aptp_bench.errors import DataError

if TYPE_CHECKING:
    import datasets

AGAIN = "download the official captions file again"
TRAIN_IMAGES = {"2014": 82_783, "2017": 118_287}  # of a release (cocodataset.org)
SAMPLE_SEED = 42  # the APTP authors' seed of the 30,000 evaluation captions


class Pair(NamedTuple):
    """One caption and the name of the image it describes."""

    file_name: str
    caption: str


class COCO2014(DatasetPlugin):
    """MS-COCO Captions 2014 from disk: every train caption; for val one caption each of 30,000 images."""

    name = "coco2014"
    world = "paper"

    class Config(PluginConfig):
        """Where the files are and how many validation images are drawn."""

        root: Path = Field(
            Path("data/coco"),
            description="folder with annotations/, train2014/ and val2014/",
            json_schema_extra=EXECUTION,
        )
        year: Annotated[Literal["2014", "2017"], BeforeValidator(str)] = Field(  # without quotes YAML reads a number
            "2014", description="release; the paper uses 2014"
        )
        val_images: int = Field(30_000, gt=0, description="validation images drawn; the paper uses 30,000")

    config: Config

    def places(self) -> Iterator[tuple[str, Path]]:
        """Annotations and images of both splits."""
        for split in self.splits:
            yield "root", _annotations(self.config.root, split, self.config.year)
            yield "root", self.config.root / f"{split}{self.config.year}"

    def images_of(self, pairs: int) -> int:
        """Five captions share an image."""
        return min(pairs, TRAIN_IMAGES[self.config.year])

    def load(self, split: str, limit: int | None = None) -> datasets.Dataset:
        """The first `limit` pairs of a split. Raises DataError for missing or unreadable files."""
        table.check_split(self, split)
        folder = self.config.root / f"{split}{self.config.year}"
        document = _document(_annotations(self.config.root, split, self.config.year))
        rows = pairs(document) if split == "train" else evaluation_pairs(document, self.config.val_images)
        rows = rows[: table.first(limit, len(rows))]
        paths = _present(folder, rows)
        files = [paths[row.file_name] for row in rows]
        return table.of_files(files, [row.caption for row in rows], f"MS-COCO {self.config.year} {split}")


def pairs(document: dict[str, Any]) -> list[Pair]:
    """Every caption with its image, in the order of the annotation file.

    Raises DataError for missing fields, for ids and names that stand twice, and for captions that are none.
    """
    try:
        names = _names(document["images"])
        notes = document["annotations"]
        _check_once("annotation", [note["id"] for note in notes if "id" in note])
        found = [Pair(names[note["image_id"]], _caption(note, names)) for note in notes]
    except KeyError as err:
        raise DataError(f"the COCO annotations lack {err}; {AGAIN}") from err
    except TypeError as err:
        raise DataError(f"the COCO annotations are not laid out as COCO's are ({err}); {AGAIN}") from err
    if not found:
        raise DataError(f"the COCO annotations hold no caption; {AGAIN}")
    return found


def _names(listed: list[dict[str, Any]]) -> dict[Any, str]:
    """The file of every image, by its id. Raises DataError for one that is no file's name, and for what stands twice."""
    for image in listed:
        if type(image["id"]) not in (int, str) or not isinstance(image["file_name"], str):
            raise DataError(f"the COCO annotations have an image {image['id']!r} of {image['file_name']!r}; {AGAIN}")
    _check_once("image", [image["id"] for image in listed])
    _check_once("file", [image["file_name"] for image in listed])
    return {image["id"]: image["file_name"] for image in listed}


def _check_once(what: str, keys: list[Any]) -> None:
    if len(set(keys)) != len(keys):
        twice = next(key for key, times in Counter(keys).items() if times > 1)
        raise DataError(f"the COCO annotations have {what} {twice!r} twice; {AGAIN}")


def _caption(note: dict[str, Any], names: dict[Any, str]) -> str:
    text = note["caption"]
    wrong = flaw(text.strip()) if isinstance(text, str) else "is empty"
    if wrong:
        where = f"annotation {note.get('id')} of {names[note['image_id']]}"
        raise DataError(f"{where} has a caption that {wrong}; {AGAIN}")
    return str(text).strip()


def first_captions(document: dict[str, Any]) -> list[Pair]:
    """The first caption of every image that has one, in the order of the file's image list."""
    first: dict[str, Pair] = {}
    for row in pairs(document):
        first.setdefault(row.file_name, row)
    return [first[image["file_name"]] for image in document["images"] if image["file_name"] in first]


def evaluation_pairs(document: dict[str, Any], count: int) -> list[Pair]:
    """`count` images drawn without replacement, each with its first caption (APTP Section 5: 30,000 of val2014).

    The draw is that of the authors' code, np.random.RandomState(42).choice. Raises DataError if there are fewer images.
    """
    rows = first_captions(document)
    if count > len(rows):
        fix = f"set dataset_config.val_images={len(rows)}"
        raise DataError(f"{count} validation images asked, the annotations have {len(rows)}; {fix}")
    chosen = np.random.RandomState(SAMPLE_SEED).choice(len(rows), count, replace=False)
    return [rows[i] for i in chosen]


def _annotations(root: Path, split: str, year: str) -> Path:
    return root / "annotations" / f"captions_{split}{year}.json"


def _document(path: Path) -> dict[str, Any]:
    try:
        return dict(unambiguous_json(decoded(path.read_bytes(), str(path), AGAIN)))
    except FileNotFoundError as err:
        raise DataError(f"{path} is missing; download COCO's annotations or set dataset_config.root") from err
    except (OSError, ValueError, TypeError) as err:
        raise DataError(f"{path} is not a COCO captions file ({brief(err)}); {AGAIN}") from err


def _present(folder: Path, rows: Sequence[Pair]) -> dict[str, Path]:
    """The file of every name. One listing of the folder serves instead of a look at each of 400,000 files."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; download COCO's images or set dataset_config.root")
    paths = {name: images.inside(folder, name) for name in dict.fromkeys(row.file_name for row in rows)}
    listed = set(os.listdir(folder))
    absent = [name for name in paths if name not in listed]
    if absent:
        raise DataError(f"{folder} lacks {len(absent)} of {len(paths)} images, first {absent[0]!r}; download them")
    return paths
