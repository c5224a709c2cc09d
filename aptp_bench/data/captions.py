"""Files of captions beside a folder of images: a line an image, JSON, or CSV; every image has one, and none is empty."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from aptp_bench.core.names import check_order, composed
from aptp_bench.data import images
from aptp_bench.errors import DataError

Row = tuple[Path, str]

JSON_HINT = 'write {"file.jpg": "caption", ...}'


def matched(source: Path, files: list[Path]) -> list[Row]:
    """(image, caption) in the order of the images; `source` is read by its suffix. Raises DataError unless they match one to one."""
    if source.suffix not in READERS:
        raise DataError(f"{source} is not a captions file; give one of: {', '.join(sorted(READERS))}")
    found = [(path, caption.strip()) for path, caption in READERS[source.suffix](source, files)]
    for path, caption in found:
        if not caption:
            raise DataError(f"{source}: the caption of {path.name} is empty; write one or remove the image")
        if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in caption):
            raise DataError(f"{source}: the caption of {path.name} holds what is no character; write it again")
    return found


def _from_lines(source: Path, files: list[Path]) -> list[Row]:
    check_order(files)
    lines = [line.strip() for line in _text(source).split("\n")]
    while lines and not lines[-1]:  # lines after the last caption are none
        lines.pop()
    if len(lines) != len(files):
        blank = next((f"; line {i + 1} is empty" for i, line in enumerate(lines) if not line), "")
        counts = f"{len(lines)} captions for {len(files)} images"
        raise DataError(f"{source} has {counts}{blank}; write one line for each image, in the order of their names")
    for number, (path, line) in enumerate(zip(files, lines, strict=True), start=1):
        if not line:
            raise DataError(f"{source} line {number}, of {path.name}, is empty; write a caption or remove the image")
    return list(zip(files, lines, strict=True))


def _from_json(source: Path, files: list[Path]) -> list[Row]:
    def named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise DataError(f"{source} names a file twice; keep one caption for each image")
        return found

    try:
        captions = json.loads(_text(source), object_pairs_hook=named)
    except (ValueError, RecursionError) as err:
        raise DataError(f"{source} is not JSON ({_brief(err)}); {JSON_HINT}") from err
    if not isinstance(captions, dict) or not all(isinstance(c, str) for c in captions.values()):
        raise DataError(f"{source} must map file names to captions; {JSON_HINT}")
    return _named(source, files, captions.items())


def _from_csv(source: Path, files: list[Path]) -> list[Row]:
    reader = csv.reader(io.StringIO(_text(source), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if header != ["file", "caption"]:
            raise DataError(
                f"{source} starts with {','.join(header) or 'nothing'}; start it with the line file,caption"
            )
        rows: list[tuple[str, str]] = []
        for row in reader:
            if row and len(row) != 2:
                wrong = f"{source} line {reader.line_num} has {len(row)} fields instead of a file and a caption"
                raise DataError(f'{wrong}; write a caption with commas in quotes: "a, b"')
            rows += [(row[0], row[1])] if row else []
    except csv.Error as err:
        raise DataError(
            f"{source} line {reader.line_num}: {_brief(err)}; close its quotes and shorten its fields"
        ) from err
    return _named(source, files, rows)


def _named(source: Path, files: list[Path], named: Iterable[tuple[str, str]]) -> list[Row]:
    """Captions by file name, put beside the files; a name too many, too few or twice is an error."""
    folder, captions = source.parent, dict[str, str]()
    for name, text in named:
        key = composed(str(images.inside(folder, name).relative_to(folder)))
        if key in captions:
            raise DataError(f"{source} names {name} twice; keep one caption for each image")
        captions[key] = text
    have = dict[str, Path]()
    for path in files:
        first = have.setdefault(composed(path.name), path)
        if first is not path:
            raise DataError(f"{path.parent} holds {path.name} twice, its accents encoded in two ways; rename one")
    odd = sorted(have.keys() ^ captions.keys())
    if odd:
        side = "no caption" if odd[0] in have else "no image"
        counts = f"{len(captions)} captions for {len(files)} images"
        raise DataError(f"{source} has {counts}: {odd[0]} has {side}; add or remove it")
    return [(path, captions[name]) for name, path in have.items()]


def _text(source: Path) -> str:
    try:
        return source.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as err:
        raise DataError(f"{source} cannot be read as UTF-8 text ({_brief(err)}); save it as UTF-8") from err


def _brief(err: Exception) -> str:
    return " ".join(str(err).split())[:120]


READERS: dict[str, Callable[[Path, list[Path]], list[Row]]] = {
    ".txt": _from_lines,
    ".json": _from_json,
    ".csv": _from_csv,
}
