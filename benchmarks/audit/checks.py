"""The checks by name, in the order of the page."""

from __future__ import annotations

from aptp_bench.benchmarks.audit import counting, loading, noise, placement, seconds, weights
from aptp_bench.benchmarks.audit.finding import Check

CHECKS: dict[str, Check] = {
    each.CHECK.name: each.CHECK for each in (counting, placement, loading, noise, seconds, weights)
}
