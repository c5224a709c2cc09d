"""SVG files that say what they were made from, so that they can be checked where another matplotlib would draw other bytes.

A mark at the end names the digest of the data and the digest of the file's own rest.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

MARK = "<!-- aptp-bench: data {data}, file {file} -->\n"
PATTERN = re.compile(r"<!-- aptp-bench: data ([0-9a-f]{64}), file ([0-9a-f]{64}) -->\n\Z")


def seal(svg: str, data: Any) -> str:
    """An SVG with its mark."""
    svg = svg.rstrip("\n") + "\n"
    return svg + MARK.format(data=digest(data), file=_sha256(svg))


def verify(svg: str, data: Any) -> str | None:
    """What is wrong with a file that should show `data` as it was drawn; None if nothing is."""
    mark = PATTERN.search(svg)
    if mark is None:
        return "has no mark of what it was made from"
    if _sha256(svg[: mark.start()]) != mark[2]:
        return "was changed after it was drawn"
    return None if mark[1] == digest(data) else "shows other numbers than the records"


def digest(data: Any) -> str:
    """sha256 of plain data."""
    return _sha256(json.dumps(data, sort_keys=True, ensure_ascii=False))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
