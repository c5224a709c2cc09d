"""Texts that a user gives: captions beside a folder of images (a line an image, JSON, or CSV), and prompts, a line each.

Every image has a caption. None is empty, and what shows nothing is empty.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from aptp_bench.core.files import content
from aptp_bench.core.names import check_order, composed
from aptp_bench.data import images
from aptp_bench.errors import DataError

Row = tuple[Path, str]

PROMPTS_HINT = "give --prompts a UTF-8 text file, a prompt a line"
JSON_HINT = 'write {"file.jpg": "caption", ...}'


def matched(source: Path, files: list[Path]) -> list[Row]:
    """(image, caption) in the order of the images; `source` is read by its suffix. Raises DataError unless they match one to one."""
    if source.suffix not in READERS:
        raise DataError(f"{source} is not a captions file; give one of: {', '.join(sorted(READERS))}")
    found = [(path, caption.strip()) for path, caption in READERS[source.suffix](source, files)]
    for path, caption in found:
        if wrong := flaw(caption):
            fix = "write it again, or remove the image"
            raise DataError(f"{source}: the caption of {path.name} {wrong}; {fix}")
    return found


def prompts(source: Path) -> list[str]:
    """The lines of a text file that are not empty. Raises DataError."""
    if source.suffix.lower() in READERS.keys() - {".txt"}:
        raise DataError(f"{source} is no list of prompts; {PROMPTS_HINT}")
    return prompts_of(_text(source, PROMPTS_HINT), str(source))


def prompts_of(text: str, name: str) -> list[str]:
    """The lines of a text that are not empty. name: how errors call it. Raises DataError."""
    found = [(number, line.strip()) for number, line in enumerate(_lines(text), start=1) if line.strip()]
    for number, line in found:
        if wrong := flaw(line):
            raise DataError(f"{name} line {number} {wrong}; write a prompt, or remove the line")
    return [line for _, line in found]


def decoded(text: bytes, name: str, fix: str) -> str:
    """UTF-8, with or without its mark. name: how errors call it. Raises DataError with the fix."""
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise DataError(f"{name} cannot be read as UTF-8 text ({_brief(err)}); {fix}") from err


def flaw(text: str) -> str | None:
    """What is wrong with a caption or a prompt; None if nothing is."""
    if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text):
        return "holds what is no character"
    return None if any(_shows(letter) for letter in text) else "is empty"


def _shows(letter: str) -> bool:
    """Whether anything is seen of it: controls, invisible formats and every kind of space are not."""
    kind = unicodedata.category(letter)
    return kind not in ("Cc", "Cf") and not kind.startswith("Z")


def _lines(text: str) -> list[str]:
    """Lines as editors end them on every system; what str.splitlines knows besides may stand in a caption."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _from_lines(source: Path, files: list[Path]) -> list[Row]:
    check_order(files)
    lines = [line.strip() for line in _lines(_text(source))]
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


def _text(source: Path, fix: str = "save it as UTF-8") -> str:
    try:
        return decoded(content(source), str(source), fix)
    except (OSError, ValueError) as err:  # ValueError: a path with a NUL
        raise DataError(f"{source} cannot be read ({_brief(err)}); {fix}") from err


def _brief(err: Exception) -> str:
    return " ".join(str(err).split())[:120]


READERS: dict[str, Callable[[Path, list[Path]], list[Row]]] = {
    ".txt": _from_lines,
    ".json": _from_json,
    ".csv": _from_csv,
}
