"""Count anew what the package ships: python -m aptp_bench.planning. A minute; the files go to aptp_bench/planning/facts."""

from __future__ import annotations

import sys
from pathlib import Path

from aptp_bench.config import SCALES, recipe
from aptp_bench.core.files import write_text
from aptp_bench.core.recipe import Recipe
from aptp_bench.harness.suite import Suite, shipped
from aptp_bench.planning.facts import FOLDER, Facts
from aptp_bench.planning.machine import Machine
from aptp_bench.planning.stages import Run

TABLE = "aptp_"  # the tables of the paper on prompts, whose models are worth a file each


def counted(recipes: list[Recipe], machines: list[Machine]) -> dict[str, Facts]:
    """By model what plans of these recipes ask for, counted now."""
    facts: dict[str, Facts] = {}
    for each in recipes:
        known = facts.setdefault(each.model, Facts(each.model, shipped=False))
        for machine in machines:
            list(Run(each, known, machine).loads())
    return facts


def main() -> None:
    """Write a file a model."""
    ample, scant = (Machine.of("A100", memory_gib=gib) for gib in (1e6, 1e-6))  # the second asks for every way out
    recipes = [recipe("dense", "coco", scale) for scale in SCALES]
    suites = [Suite.load(name, scale) for name in shipped() if name.startswith(TABLE) for scale in ("mini", "paper")]
    recipes += [run.recipe for suite in suites for run in suite.runs()]
    for model, facts in counted(recipes, [ample, scant]).items():
        path = Path(__file__).parent / FOLDER / f"{model}.json"
        write_text(path, facts.known.model_dump_json() + "\n")
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
