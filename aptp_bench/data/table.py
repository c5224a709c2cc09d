"""Rows of (image, caption) as a Hugging Face dataset whose images are read, and checked, when they are looked at."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aptp_bench.data import images
from aptp_bench.errors import DataError

if TYPE_CHECKING:
    import datasets

    from aptp_bench.contracts.dataset import DatasetPlugin


Decoder = Callable[[dict[str, list[Any]]], dict[str, list[Any]]]


def of_files(
    paths: Sequence[Path | str], captions: Sequence[str], note: str = "", decoded: Decoder | None = None
) -> datasets.Dataset:
    """A dataset of image files. Columns: image (PIL, RGB), caption (str). Nothing is read yet.

    Looking at a row whose file is missing or broken raises DataError naming the file. `note` becomes the description.
    decoded: reads the images of some rows, where their paths are not those of files.
    """
    rows: dict[str, list[Any]] = {
        "image": [{"path": stored(p), "bytes": None} for p in paths],
        "caption": list(captions),
    }
    return _table(rows, note, decoded or _decoded)


def of_bytes(encoded: Sequence[bytes], captions: Sequence[str], note: str = "", **more: list[Any]) -> datasets.Dataset:
    """A dataset of images in memory, encoded as PNG. Columns: image (PIL, RGB), caption (str) and those in `more`."""
    cells = [{"path": None, "bytes": b} for b in encoded]
    return _table({"image": cells, "caption": list(captions), **more}, note, _decoded)


def of_prompts(captions: Sequence[str], categories: Sequence[str], challenges: Sequence[str]) -> datasets.Dataset:
    """A dataset without images. Columns: caption, category, challenge (str)."""
    from datasets import Dataset

    columns = {"caption": list(captions), "category": list(categories), "challenge": list(challenges)}
    return Dataset.from_dict(columns)


def stored(path: Path | str) -> str:
    """A path as a cell of a table. Raises DataError for one that is no text, which file systems allow."""
    try:
        return str(path).encode().decode()
    except UnicodeEncodeError as err:
        raise DataError(f"the name of {str(path)!r} is no UTF-8 text; rename it") from err


def first(limit: int | None, total: int) -> int:
    """How many of `total` rows a limit leaves. Raises DataError for a negative limit."""
    if limit is not None and limit < 0:
        raise DataError(f"a data set cannot be limited to {limit} rows; use 0 or more, or leave the limit out")
    return total if limit is None else min(limit, total)


def every_nth(rows: list[Any], split: str, step: int) -> list[Any]:
    """The rows of a split where none is given: every `step`-th is held out for "val", the rest is for "train"."""
    return rows[step - 1 :: step] if split == "val" else [row for i, row in enumerate(rows) if i % step != step - 1]


def check_split(dataset: DatasetPlugin, split: str) -> None:
    """Raises DataError if the dataset has no such split."""
    if split not in dataset.splits:
        raise DataError(f"{dataset.name} has no split '{split}'; use one of: {', '.join(dataset.splits)}")


def _table(rows: dict[str, list[Any]], note: str, decoded: Decoder) -> datasets.Dataset:
    from datasets import Dataset, DatasetInfo, Features, Value
    from datasets import Image as ImageColumn

    more = {name: Value("int64" if isinstance((rows[name] or [""])[0], int) else "string") for name in rows}
    features = Features({**more, "image": ImageColumn(mode="RGB", decode=False), "caption": Value("string")})
    table = Dataset.from_dict(rows, features=features, info=DatasetInfo(description=note, features=features))
    return table.with_transform(decoded)


def _decoded(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    if "image" not in batch:
        return batch
    return {**batch, "image": [images.read(cell["path"] or io.BytesIO(cell["bytes"])) for cell in batch["image"]]}
