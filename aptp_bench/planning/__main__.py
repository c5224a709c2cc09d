"""Count anew what the package ships: python -m aptp_bench.planning. Minutes; the files go to aptp_bench/planning/facts."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

from aptp_bench import registry
from aptp_bench.config import SCALES, recipe
from aptp_bench.core.files import write_text
from aptp_bench.core.recipe import Recipe
from aptp_bench.errors import AptpBenchError, ConfigError
from aptp_bench.harness.suite import Suite, shipped
from aptp_bench.planning.facts import FOLDER, Facts
from aptp_bench.planning.machine import Machine
from aptp_bench.planning.stages import Run

OURS, GROUPS = "aptp-bench", ("methods", "datasets", "models")


def recipes() -> list[Recipe]:
    """Every run of every suite that comes with the package, and every method of ours on all that it goes together with."""
    suites = [_at(*asked) for asked in product(shipped(), SCALES)]
    names = [[name for name, each in registry.plugins(group).items() if each.provider == OURS] for group in GROUPS]
    usual = (_together(*asked) for asked in product(*names, SCALES))
    return [run.recipe for suite in suites if suite for run in suite.runs()] + [each for each in usual if each]


def _at(name: str, scale: str) -> Suite | None:
    """None where the suite is for another scale."""
    try:
        return Suite.load(name, scale)
    except ConfigError:
        return None


def _together(method: str, dataset: str, model: str, scale: str) -> Recipe | None:
    """None where they do not go together."""
    try:
        return recipe(method, dataset, scale, {"model": model})
    except AptpBenchError:
        return None


def counted(recipes: list[Recipe], machines: list[Machine]) -> dict[str, Facts]:
    """By model what plans of these recipes ask for, counted now."""
    facts: dict[str, Facts] = {}
    for each in recipes:
        known = facts.setdefault(each.model, Facts(each.model, shipped=False))
        for machine in machines:
            list(Run(each, known, machine).loads())
        if known.kind.reads_prompts():
            known.numbers_of("text")  # with store_text=true
    return facts


def main() -> None:
    """Write a file a model."""
    ample, scant = (Machine.of("A100", memory_gib=gib) for gib in (1e6, 1e-6))  # the second asks for every way out
    for model, facts in counted(recipes(), [ample, scant]).items():
        path = Path(__file__).parent / FOLDER / f"{model}.json"
        write_text(path, facts.known.model_dump_json() + "\n")
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
