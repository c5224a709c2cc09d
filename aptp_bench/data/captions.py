"""Texts that a user gives: captions beside a folder of images (a line an image, JSON, or CSV), and prompts, a line each.

Every image has a caption. None is empty, and what shows nothing is empty.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from aptp_bench.core.files import content
from aptp_bench.core.names import check_order, composed
from aptp_bench.core.texts import brief, decoded, flaw, is_json, lines, unambiguous_json
from aptp_bench.data import images
from aptp_bench.errors import DataError

Row = tuple[Path, str]

PROMPTS_HINT = "give --prompts a UTF-8 text file, a prompt a line"
_TABLES = ".json .jsonl .ndjson .csv .tsv .tab .yaml .yml .toml .xml .parquet .arrow .xls .xlsx .ods .gz .zip"
TABLES = frozenset(_TABLES.split())
SEPARATORS = re.compile(r"[\t,;:|]")
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
    if source.suffix.lower() in TABLES:
        raise DataError(f"{source} is no list of prompts; {PROMPTS_HINT}")
    return prompts_of(_text(source, PROMPTS_HINT), str(source))


def prompts_of(text: str, name: str) -> list[str]:
    """The lines of a text that are not empty. name: how errors call it. Raises DataError."""
    found = [(number, line.strip()) for number, line in enumerate(lines(text), start=1) if line.strip()]
    for number, line in found:
        if wrong := "is a row of JSON" if is_json(line) else flaw(line):
            raise DataError(f"{name} line {number} {wrong}; write a prompt, or remove the line")
    return [line for _, line in found]


def _from_lines(source: Path, files: list[Path]) -> list[Row]:
    check_order(files, "rename one, or give captions that name their images, as .json or .csv")
    found = [line.strip() for line in lines(_text(source))]
    while found and not found[-1]:  # lines after the last caption are none
        found.pop()
    if len(found) != len(files):
        blank = next((f"; line {i + 1} is empty" for i, line in enumerate(found) if not line), "")
        counts = f"{len(found)} captions for {len(files)} images"
        raise DataError(f"{source} has {counts}{blank}; write one line for each image, in the order of their names")
    names = {path.name for path in files}
    for number, (path, line) in enumerate(zip(files, found, strict=True), start=1):
        if not line:
            raise DataError(f"{source} line {number}, of {path.name}, is empty; write a caption or remove the image")
        if _is_row(line, names):
            fix = "write captions alone, or save it as .json, or as .csv with the line file,caption first"
            raise DataError(f"{source} line {number} is a row of a table, not a caption; {fix}")
    return list(zip(files, found, strict=True))


def _is_row(line: str, names: set[str]) -> bool:
    """Whether a line names its image, or is JSON: its caption is only a part of it."""
    return is_json(line) or ((parts := SEPARATORS.split(line, 1))[0].strip(" \"'") in names and len(parts) > 1)


def _from_json(source: Path, files: list[Path]) -> list[Row]:
    try:
        captions = unambiguous_json(_text(source))
    except ValueError as err:
        raise DataError(f"{source} is not JSON ({brief(err)}); {JSON_HINT}") from err
    if not isinstance(captions, dict) or not all(isinstance(c, str) for c in captions.values()):
        raise DataError(f"{source} must map file names to captions; {JSON_HINT}")
    return _named(source, files, captions.items())


def _from_csv(source: Path, files: list[Path]) -> list[Row]:
    reader = csv.reader(io.StringIO(_text(source), newline=""), strict=True, skipinitialspace=True)
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
            f"{source} line {reader.line_num}: {brief(err)}; close its quotes and shorten its fields"
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
        raise DataError(f"{source} cannot be read ({brief(err)}); {fix}") from err


READERS: dict[str, Callable[[Path, list[Path]], list[Row]]] = {
    ".txt": _from_lines,
    ".json": _from_json,
    ".csv": _from_csv,
}
