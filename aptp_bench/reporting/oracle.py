"""What routing could win where a run was made, and how much of it the run's sizes realise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aptp_bench import registry
from aptp_bench.errors import DataError
from aptp_bench.harness.oracle import FOLDER, RARE, OracleGain
from aptp_bench.pruning.allocation import Curve, allocate
from aptp_bench.records import Record, read
from aptp_bench.reporting.figures.facts import RunFacts


@dataclass(frozen=True)
class Realised:
    """Of a run at its mean ratio. oracle: what the best sizes of the kinds would save of the uniform damage.

    gain: what its own sizes save of it if every kind loses in an expert what it loses in a uniform cut of that size;
    negative where hard kinds got the smaller experts. What experts gain by specialising is not in it.
    """

    found: OracleGain
    mean: float
    oracle: float
    gain: float

    @property
    def share(self) -> float | None:
        """Share of the oracle's gain that is realised; None where there is nothing to win."""
        return self.gain / self.oracle if self.oracle > 0 else None


def of_run(facts: RunFacts) -> Realised:
    """From what oracle_gain left beside the run. Raises DataError if it has measured nothing here."""
    found, what = beside(facts), facts.record.what
    rows = registry.get("datasets", what.dataset)(**what.dataset_config).load("val", what.sizes.val)
    if found.by not in rows.column_names:
        raise DataError(f"the dataset no longer has the column '{found.by}'; run oracle_gain again")
    budgets = facts.budgets
    return realised(found, [str(label) for label in rows[found.by]], [budgets[i] for i in facts.assignment()])


def realised(found: OracleGain, labels: Sequence[str], ratios: Sequence[float]) -> Realised:
    """labels: kind of each prompt; ratios: MACs of the expert that serves it, as a share of dense.

    Raises DataError for kinds that were not measured, BudgetError for experts leaner than every cut.
    """
    curves = {kind.name: Curve.through(dict(zip(found.cuts, kind.damages, strict=True))) for kind in found.kinds}
    names = [label if label in curves else RARE for label in labels]
    if RARE in names and RARE not in curves:
        unknown = next(label for label in labels if label not in curves)
        raise DataError(f"the damage of the kind '{unknown}' was not measured; run oracle_gain again with more pairs")
    mean = sum(ratios) / len(ratios)
    best = allocate(list(curves.values()), [names.count(name) for name in curves], mean)
    paid = sum(curves[name](ratio) for name, ratio in zip(names, ratios, strict=True)) / len(names)
    gain = 1.0 - paid / best.uniform if best.uniform > 0 else 0.0
    return Realised(found, mean, best.gain, gain)


def beside(facts: RunFacts) -> OracleGain:
    """What oracle_gain left in the run's runs folder: of its data, model and convention; after as much tuning as the
    run's if there is such. Raises DataError if there is nothing."""
    folder, record = facts.run.folder.absolute().parent / FOLDER, facts.record
    known = [read(path, OracleGain, "oracle gain", "measure") for path in sorted(folder.glob("*.json"))]
    fitting = [found for found in known if _fits(found, record)]
    if not fitting:
        command = f"python -m aptp_bench.benchmarks.oracle_gain --dataset {record.what.dataset}"
        more = (
            f" --scale {record.world} --runs-dir {facts.run.folder.absolute().parent.name}"  # no place of this machine
        )
        raise DataError(f"what routing could win here was not measured; measure it: {command}{more}")
    return min(fitting, key=lambda found: abs(found.finetune_steps - record.what.finetune.get("steps", 0)))


def _fits(found: OracleGain, record: Record) -> bool:
    same = [
        (found.world, record.world),
        (found.dataset, record.what.dataset),
        (found.convention, record.what.budget.convention),
        (found.how.digests.get("model"), record.how.digests.get("model")),
    ]
    return all(a == b for a, b in same)
