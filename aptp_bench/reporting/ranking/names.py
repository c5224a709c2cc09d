"""What metrics are called where people read."""

from __future__ import annotations

from aptp_bench import registry

ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}


def title(metric: str) -> str:
    """What people call a metric; its name in words where its class has no title or is not installed here."""
    found = registry.plugins("metrics").get(metric)
    return (found.load().title if found is not None else "") or metric.replace("_", " ")


def headed(metric: str, unit: str, better: str) -> str:
    """A column's head: name, unit, which way is better."""
    return " ".join(part for part in (title(metric), f"({unit})" if unit else "", ARROWS[better]) if part)
