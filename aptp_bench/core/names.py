"""Names of files in the order in which people number them."""

from __future__ import annotations

import re

DIGITS = re.compile(r"(\d+)")


def natural(name: str) -> list[tuple[int, str]]:
    """A key that orders numbers by value and letters without their case; equal only for equal names."""
    parts = DIGITS.split(name)
    key = [(int(part), "") if i % 2 else (-1, part.lower()) for i, part in enumerate(parts)]
    return [*key, (-1, name)]
