"""docs/audit.md: prose by hand, tables from the findings between `<!-- NAME -->` and `<!-- /NAME -->`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from aptp_bench.benchmarks.audit import counting, loading, noise, placement, seconds, weights
from aptp_bench.benchmarks.audit.finding import Check, load
from aptp_bench.errors import ConfigError

CHECKS: dict[str, Check] = {  # in the order of the page
    each.CHECK.name: each.CHECK for each in (counting, placement, loading, noise, seconds, weights)
}


def filled(text: str, checks: Sequence[Check], results: Path) -> str:
    """The page with every check's table as its finding gives it. Raises ConfigError for a check without a place."""
    for check in checks:
        finding = load(results, check.name)
        block = "\n".join([f"<!-- {check.name} -->", *check.lines(finding.facts), f"<!-- /{check.name} -->"])
        place = re.compile(rf"<!-- {check.name} -->.*?<!-- /{check.name} -->", re.DOTALL)
        if not place.search(text):
            raise ConfigError(
                f"the page has no place for '{check.name}'; add <!-- {check.name} --> <!-- /{check.name} -->"
            )
        text = place.sub(lambda _, block=block: block, text)  # type: ignore[misc]
    return text
