"""Files of a folder, in the order in which people number them; none that belongs there is left out."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aptp_bench.errors import DataError

DIGITS = re.compile(r"(\d+)")


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


def check_order(files: Iterable[Path]) -> None:
    """Raise DataError where two files have one place, so that a list in their order could mean either."""
    seen: dict[tuple[tuple[int, str], ...], Path] = {}
    for path in files:
        first = seen.setdefault(place(path), path)
        if first is not path:
            raise DataError(f"{path.parent} holds {first.name} and {path.name}, whose order is not clear; rename one")


@dataclass(frozen=True)
class Kind:
    """What a folder is read for: the suffixes that are read, and those of the same kind that are not.

    name: how errors call several; fix: what to save the others as.
    """

    name: str
    read: frozenset[str]
    others: frozenset[str]
    fix: str

    def files(self, folder: Path) -> list[Path]:
        """The files of a folder that are read, 2.png before 10.png; hidden files, and files of other kinds, are none of them.

        Raises DataError for what would be missed if it were left out: suffixes that are not read, what is called like a file
        and is none, files in folders below.
        """
        found = [path for path in folder.iterdir() if not path.name.startswith(".")]
        ours = [path for path in found if path.suffix.lower() in self.read | self.others]
        if odd := sorted(path.name for path in ours if not path.is_file()):
            raise DataError(f"{folder} holds {odd[0]}, a folder, a pipe or a link to nothing; restore or remove it")
        if other := sorted(path.name for path in ours if path.suffix.lower() in self.others):
            raise DataError(f"{folder} holds {len(other)} {self.name} of another kind, first {other[0]}; {self.fix}")
        if below := next((path for path in sorted(found) if path.is_dir() and self._within(path)), None):
            raise DataError(f"{folder} has {self.name} in its folder {below.name} too; move them up, or elsewhere")
        return sorted(ours, key=lambda path: natural(path.name))

    def _within(self, folder: Path) -> bool:
        """Whether such a file lies anywhere below."""
        for _, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            seen = (name for name in names if not name.startswith("."))
            if any(Path(name).suffix.lower() in self.read | self.others for name in seen):
                return True
        return False
