"""A choice that is the same under every Python version."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def pick(rng: random.Random, options: Sequence[T]) -> T:
    """One of the options; random.choice may change between Python versions, random.random does not."""
    return options[int(rng.random() * len(options))]
