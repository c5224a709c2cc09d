"""Does a distance say what is worse? python -m aptp_bench.benchmarks.ladder RUN…

Runs from the best to the worst that they should be (dense, pruned and tuned, not tuned, reset), below a floor that no model made:
held-out samples of the data, as many as a run generated. Each step to the rung above it, with its interval: paired between runs, whose
samples start from the same noise, and unpaired above the floor.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from aptp_bench.cli.failures import outcome

if TYPE_CHECKING:
    from aptp_bench.records import Measurement
    from aptp_bench.reporting.comparison import Side

Z = 1.96  # of a 95 % interval
FLOOR = "held-out samples"


@dataclass(frozen=True)
class Rung:
    """A value, and how much more it is than that of the rung above, ± half of a 95 % interval; None of the first."""

    name: str
    value: float
    step: float | None = None
    reach: float = 0.0
    paired: bool = False

    @property
    def sure(self) -> bool:
        """Whether it is worse than the rung above beyond doubt."""
        return self.step is not None and self.step > self.reach


def ladder(
    runs: Annotated[list[Path], typer.Argument(help="Runs' folders, from the best to the worst that they should be.")],
    metric: Annotated[str, typer.Option(help="A distance to real samples.")] = "fid",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure the floor, and hold every run against the one before it."""
    from aptp_bench.cli.options import print_json
    from aptp_bench.models.weights import quiet
    from aptp_bench.reporting.comparison import Side

    sides = [Side.of(path) for path in runs]
    with quiet():
        least = floor(sides[0], metric)
    rungs = climbed(least, sides, metric)
    if as_json:
        print_json({"metric": metric, "rungs": [{**vars(rung), "sure": rung.sure} for rung in rungs]})
        return
    typer.echo(f"{metric}; each step with its 95 % interval")
    for rung in rungs:
        step = (
            ""
            if rung.step is None
            else f"{rung.step:+.4g} ± {rung.reach:.2g}, {'paired' if rung.paired else 'unpaired'}"
        )
        sure = "" if rung.step is None or rung.sure else ": not beyond doubt"
        typer.echo(f"{rung.value:10.4g}  {rung.name:44} {step}{sure}")


def floor(side: Side, metric: str) -> Measurement:
    """The metric of as many held-out samples as the run generated, by the run's own settings. Raises ConfigError, MetricError."""
    import torch

    from aptp_bench import registry
    from aptp_bench.contracts.evidence import Evidence
    from aptp_bench.errors import ConfigError
    from aptp_bench.evaluation.evaluate import backbones, measure
    from aptp_bench.generation.image_sets import Rows
    from aptp_bench.harness.inputs import VAL, Materials

    recipe, device = side.record.what, torch.device("cpu")
    given = Materials.of(recipe, device)
    if given.real_split == VAL:
        raise ConfigError(f"{side.name} is held against held-out samples themselves; name runs without prompts")
    networks, lacking = backbones(recipe.backbones, device)
    edge = recipe.resolution.measure
    held_out = Rows(given.val, f"{given.digests[VAL]}-{given.drawn}-{edge}", edge)
    evidence = Evidence([""] * len(given.val), held_out, given.reals("dataset", edge), networks)
    found, skipped = measure([registry.get("metrics", metric)()], {"dataset": evidence}, lacking)
    if metric not in found:
        raise ConfigError(f"{metric} cannot be measured here: {skipped[metric]}; choose another with --metric")
    return found[metric]


def climbed(least: Measurement, sides: Sequence[Side], metric: str) -> list[Rung]:
    """The floor, and a rung a run. Raises ConfigError where two runs were measured otherwise."""
    from aptp_bench.errors import ConfigError
    from aptp_bench.reporting.comparison import Comparison

    first = sides[0].record.results[metric]
    (scores,) = (kept[metric] for kept in sides[0].kept.values())
    reach = Z * math.hypot(_error(np.asarray(least.replicates)), _error(scores))
    rungs = [Rung(FLOOR, least.value), Rung(sides[0].name, first.value, first.value - least.value, reach)]
    for above, side in itertools.pairwise(sides):
        found = Comparison.of(side, above)
        if metric not in found.pairs:
            raise ConfigError(f"{side.name} and {above.name}: {found.apart.get(metric, f'no {metric}')}")
        pair = found.pairs[metric]
        low, high = pair.difference.interval
        value = side.record.results[metric].value
        rungs.append(Rung(side.name, value, pair.difference.value, (high - low) / 2, bool(pair.difference.n)))
    return rungs


def _error(replicates: np.ndarray) -> float:
    """Standard error of a mean of these."""
    return float(np.std(replicates, ddof=1) / math.sqrt(len(replicates)))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(ladder)
    sys.exit(outcome(lambda: app(standalone_mode=False)))
