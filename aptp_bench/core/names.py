"""Files of a folder, in the order in which people number them; none that belongs there is left out."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from aptp_bench.errors import DataError

DIGITS = re.compile(r"(\d+)")
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")  # a name that is one number: -2, 0.25, 1e3
RENAME = "rename one"
UNFINISHED = frozenset({".part", ".partial", ".crdownload", ".download", ".opdownload", ".filepart", ".tmp"})


def natural(name: str) -> list[tuple[int, str]]:
    """A key that orders numbers by value and letters without their case; equal only for equal names."""
    parts = DIGITS.split(name)
    key = [(int(part), "") if i % 2 else (-1, part.lower()) for i, part in enumerate(parts)]
    return [*key, (-1, name)]


def composed(name: str) -> str:
    """A name in one encoding of its accents: file systems and editors write them in two."""
    return unicodedata.normalize("NFC", name)


def place(path: Path) -> tuple[tuple[int, str], ...]:
    """Where a file stands among numbered ones: the same for 1.png, 01.png and 1.jpg."""
    return tuple(natural(composed(path.stem))[:-1])


def check_order(files: Iterable[Path], fix: str = RENAME) -> None:
    """Raise DataError, with the fix, where a list in the order of these files could be meant in another, or two have one place."""
    files = list(files)
    check_places(files, fix)
    ranked = sorted(files, key=lambda path: natural(path.name))
    for first, second in pairwise(ranked):
        if _pattern(first) != _pattern(second) and any(
            a > b for a, b in zip(_ranks(first), _ranks(second), strict=True)
        ):
            raise DataError(f"{first.parent} holds {first.name} and {second.name}, whose order is not clear; {fix}")
    numbers = [path for path in ranked if NUMBER.fullmatch(path.stem)]
    for first, second in pairwise(numbers):
        if float(first.stem) > float(second.stem):
            raise DataError(f"{first.parent} holds {first.name} and {second.name}, whose order is not clear; {fix}")


def check_places(files: Iterable[Path], fix: str = RENAME) -> None:
    """Raise DataError, with the fix, where two files have one place."""
    seen: dict[tuple[tuple[int, str], ...], Path] = {}
    for path in files:
        first = seen.setdefault(place(path), path)
        if first is not path:
            raise DataError(f"{path.parent} holds {first.name} and {path.name}, whose order is not clear; {fix}")


def _ranks(path: Path) -> Iterator[Any]:
    """What people sort a name by: as text, and as numbers and letters, with an accent in its letter and after it."""
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, path.name)  # type: ignore[arg-type]
        yield name
        yield natural(os.path.splitext(name)[0])[:-1]


def _pattern(path: Path) -> str:
    """A name without its numbers: those that share it are told apart by their numbers, and whoever sorts texts errs."""
    return DIGITS.sub("0", path.stem)


@dataclass(frozen=True)
class Kind:
    """What a folder is read for: the suffixes that are read, and those of the same kind that are not.

    name: how errors call several; fix: what to save the others as; heads: what files begin with whose suffix is missing.
    """

    name: str
    read: frozenset[str]
    others: frozenset[str]
    fix: str
    heads: tuple[bytes, ...] = ()

    def files(self, folder: Path) -> list[Path]:
        """The files of a folder that are read, 2.png before 10.png; hidden files, and files of other kinds, are none of them.

        Raises DataError for what would be missed if it were left out: suffixes that are not read, what is called like a file
        and is none, files in folders below.
        """
        found = [path for path in folder.iterdir() if not path.name.startswith(".")]
        ours = [path for path in found if self._named(path.name)]
        if odd := sorted(path.name for path in ours if not path.is_file()):
            raise DataError(f"{folder} holds {odd[0]}, a folder, a pipe or a link to nothing; restore or remove it")
        if other := sorted(path.name for path in ours if path.suffix.lower() in self.others):
            raise DataError(f"{folder} holds {len(other)} {self.name} of another kind, first {other[0]}; {self.fix}")
        if lost := sorted(path.name for path in found if path not in ours and self._would_be(path)):
            raise DataError(f"{folder} holds {lost[0]}, whose name does not end as {self.name} do; rename or remove it")
        if below := next((path for path in sorted(found) if path.is_dir() and self._within(path)), None):
            raise DataError(f"{folder} has {self.name} in its folder {below.name} too; move them up, or elsewhere")
        return sorted(ours, key=lambda path: natural(path.name))

    def _named(self, name: str) -> bool:
        return os.path.splitext(name)[1].lower() in self.read | self.others

    def _would_be(self, path: Path) -> bool:
        """Whether a file is one of ours under another name: a download that is not finished, a blank at the end, no suffix."""
        name = path.name.rstrip(" .")
        stem, suffix = os.path.splitext(name)
        if (name != path.name and self._named(name)) or (suffix.lower() in UNFINISHED and self._named(stem)):
            return True
        if suffix or not self.heads or not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(16).startswith(self.heads)

    def _within(self, folder: Path) -> bool:
        """Whether such a file lies anywhere below. Raises DataError for folders that cannot be looked into."""
        waiting = [folder]
        while waiting:
            try:
                entries = list(os.scandir(waiting.pop()))
            except OSError as err:  # also of a path that is too long
                reason = err.strerror or err
                raise DataError(f"{folder} cannot be looked into ({reason}); move it elsewhere") from err
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif self._named(entry.name):
                    return True
        return False
