"""Texts that users and data sets write: one rule of what is text, where lines end, and which text can be drawn or scored."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

from aptp_bench.errors import DataError

LONGEST = 10_000  # letters of a caption or a prompt: a hundred times what networks read; millions of them take minutes
BLANK = "\u115f\u1160\u2800\u3164\uffa0"  # letters and symbols by their kind, drawn as nothing
_MOVING = re.compile("[\0-\x08\n-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")  # a tab moves nothing else
_NO_LETTER = re.compile("[\0\ud800-\udfff\ufffe\uffff]")  # as a pattern: data sets have millions of captions


def decoded(text: bytes, name: str, fix: str) -> str:
    """UTF-8, with or without its mark. name: how errors call it. Raises DataError with the fix."""
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise DataError(f"{name} cannot be read as UTF-8 text ({brief(err)}); {fix}") from err


def lines(text: str) -> list[str]:
    """Lines as editors end them on every system; what str.splitlines knows besides may stand in a caption.

    A mark of UTF-8 before a line is where files were joined, and no part of it.
    """
    return [line.lstrip("\ufeff") for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]


def flaw(text: str) -> str | None:
    """What is wrong with a caption or a prompt; None if nothing is."""
    if _NO_LETTER.search(text):
        return "holds what is no character"
    if len(text) > LONGEST:
        return f"has {len(text):,} letters, and {LONGEST:,} are the most that are read"
    return None if any(_shows(letter) for letter in text) else "is empty"


def is_json(line: str) -> bool:
    """Whether a line is a row of JSON, which whoever gives it means to be read as one."""
    if not (line.startswith("{") and line.endswith("}")):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def unambiguous_json(text: str, finite: bool = False) -> Any:
    """A JSON document. Raises ValueError, also for brackets that are too deep and for a key that stands twice.

    finite: also for NaN and Infinity, which Python writes and no other reader takes.
    """
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number if finite else None)
    except RecursionError as err:
        raise ValueError("it is nested too deeply") from err


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for i, key in enumerate(keys) if key in keys[:i])
        raise ValueError(f"'{twice}' stands there twice")
    return found


def visible(text: str) -> str:
    """Text for a terminal, in one line: what would move its cursor, colour it or turn its letters is spelt out (\\x1b)."""
    return _MOVING.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def brief(err: object) -> str:
    """An error in a part of a line."""
    return " ".join(str(err).split())[:120]


def _shows(letter: str) -> bool:
    """Whether anything is seen of it: controls, invisible formats, marks without a letter and every kind of space are not."""
    kind = unicodedata.category(letter)
    return kind not in ("Cc", "Cf") and kind[0] not in "MZ" and letter not in BLANK
