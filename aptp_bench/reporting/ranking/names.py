"""What metrics and methods are called where people read, and where their papers are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aptp_bench import registry

if TYPE_CHECKING:
    from aptp_bench.reporting.ranking.entries import Entry

ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}
PAPERS = {  # how a citation names a paper -> where it can be read
    re.compile(r"arXiv:(\d{4}\.\d{4,5})"): "https://arxiv.org/abs/",
    re.compile(r"doi:(10\.\S+?)(?=[,;]?(?:\s|$))"): "https://doi.org/",
}


def title(metric: str) -> str:
    """What people call a metric; its name in words where its class has no title or is not installed here."""
    return _fact("metrics", metric, "title") or metric.replace("_", " ")


def method_title(method: str) -> str:
    """What people call a method; its name where its class has no title or is not installed here."""
    return _fact("methods", method, "title") or method


def entry_title(entry: Entry) -> str:
    """What people call an entry's method, or its published weights, and the settings in which it differs from the recipe's."""
    return " ".join([entry.published or method_title(entry.method), *entry.changed])


def paper(group: str, name: str) -> str:
    """How to cite a method (group: methods) or a metric (metrics); empty where it has no paper or is not installed here."""
    return _fact(group, name, "paper")


def link(citation: str) -> str:
    """Where a cited paper can be read; empty where the citation has neither arXiv number nor DOI."""
    found = ((pattern.search(citation), place) for pattern, place in PAPERS.items())
    return next((f"{place}{match[1]}" for match, place in found if match), "")


def headed(metric: str, unit: str, better: str) -> str:
    """A column's head: name, unit, which way is better."""
    return " ".join(part for part in (title(metric), f"({unit})" if unit else "", ARROWS[better]) if part)


def meaning(metric: str) -> str:
    """A metric in a line, and its paper; empty where it is not installed here."""
    found = registry.plugins("metrics").get(metric)
    return "" if found is None else f"{found.load().summary()} {found.load().paper}".strip()


def _fact(group: str, name: str, fact: str) -> Any:
    found = registry.plugins(group).get(name)
    return "" if found is None else getattr(found.load(), fact)
