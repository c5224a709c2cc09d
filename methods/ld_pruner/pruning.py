"""From scores to a network: the operators with the lowest scores are modified until the budget is met.

Paper: LD-Pruner, Algorithm 1, which is given p, the number of operators; to choose it by a budget is ours. Nested
operators, which the paper leaves open: an operator inside a modified one is passed over and does not count; one that
holds modified operators takes their place, and counts once. By a budget, what would save nothing is passed over too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aptp_bench.budget import TOLERANCE, Budget
from aptp_bench.core.distributed import Ranks
from aptp_bench.core.files import write_json
from aptp_bench.errors import BudgetError
from aptp_bench.methods.ld_pruner.config import LDPrunerConfig
from aptp_bench.methods.ld_pruner.latents import spared
from aptp_bench.methods.ld_pruner.operators import Operator, operators, savings, stand_ins
from aptp_bench.methods.ld_pruner.scores import finite
from aptp_bench.methods.ld_pruner.scoring import Scored, scored
from aptp_bench.models.mixture import Mixture
from aptp_bench.plugins import Job
from aptp_bench.pruning.macs import example_inputs
from aptp_bench.pruning.surgery import clone

REPORT = "report.json"


@dataclass(frozen=True)
class Cut:
    """Modified operators in the order of their scores, and the MACs that are left as a share of the dense ones.

    before: the share with the last of them left as it was.
    """

    operators: tuple[Operator, ...]
    ratio: float
    before: float


def prune(job: Job, config: LDPrunerConfig) -> Mixture:
    """Score, choose, modify. Raises BudgetError if the budget cannot be met, or not by the p that is asked for."""
    unet = job.teacher.unet
    among = operators(unet, config.candidates, config.resnets)
    inputs = example_inputs(unet, tokens=job.tokens)
    dense, saved = savings(unet, among, inputs, job.budget.convention)
    _check_reach(job, cuts(among, saved, dense))
    found = scored(job, config, among)
    ranked = sorted(among, key=lambda operator: found.scores[operator.path])  # ties in the order of the modules
    cut = chosen(list(cuts(ranked, saved, dense, thrifty=config.p is None)), job.budget, config.p)
    first = found.samples / (1 + len(among)) / config.steps  # samples of an operator's first steps
    reused = first * sum(spared(unet, found.scores, inputs).values())
    if Ranks.here().first:
        report = {"unet_samples_saved": reused, **_report(ranked, found, saved, cut)}
        write_json(job.workdir / REPORT, report)
    job.progress.say(
        f"LD-Pruner: {found.samples} U-Net samples scored {len(among)} operators, {reused:.0f} of them were known; "
        f"{len(cut.operators)} are modified, {cut.ratio:.4f} of the dense MACs are left ({job.budget.convention})"
    )
    modules = {path: module for operator in cut.operators for path, module in stand_ins(unet, operator).items()}
    return Mixture.of_one(clone(unet, modules=modules), _remark(job.budget, config.p, cut, len(among)))


def cuts(ranked: Sequence[Operator], saved: Mapping[str, int], dense: int, thrifty: bool = False) -> Iterator[Cut]:
    """Nothing modified, then one more operator of the ranking each time. saved: MACs by path, of `dense` in all.

    thrifty: an operator that would save nothing beside those already modified is passed over, as it only does harm.
    """
    modified: tuple[Operator, ...] = ()
    ratio = 1.0
    yield Cut(modified, ratio, ratio)
    for operator in ranked:
        if any(operator.within(other.path) for other in modified):
            continue
        inside = [other for other in modified if other.within(operator.path)]
        gain = saved[operator.path] - sum(saved[other.path] for other in inside)
        if thrifty and gain <= 0:
            continue
        modified = (*(other for other in modified if other not in inside), operator)
        left = (dense - sum(saved[other.path] for other in modified)) / dense
        yield Cut(modified, left, ratio)
        ratio = left


def chosen(steps: Sequence[Cut], budget: Budget, p: int | None = None) -> Cut:
    """The first cut that meets the budget, or the one of p operators. Raises BudgetError if none does."""
    enough = budget.ratio + TOLERANCE
    met = next((cut for cut in steps if cut.ratio <= enough), None)
    cut = met if p is None else next((cut for cut in steps if len(cut.operators) == p), None)
    if cut is None:
        most = max(steps, key=lambda step: len(step.operators))
        raise BudgetError(
            f"LD-Pruner modifies {len(most.operators)} operators at most, which leaves {most.ratio:.4f} of the dense "
            f"MACs ({budget.convention}); " + ("raise --budget" if p is None else "lower p")
        )
    if cut.ratio > enough:
        instead = "" if met is None else f" or --set p={len(met.operators)}"
        raise BudgetError(
            f"p={p} leaves {cut.ratio:.4f} of the dense MACs ({budget.convention}), more than {budget.ratio:g}; use "
            f"--budget {math.ceil(cut.ratio * 1000) / 1000:g}{instead}"
        )
    return cut


def _check_reach(job: Job, steps: Iterable[Cut]) -> None:
    """Refuse, before any work, a budget that all operators together do not meet: no score can change that."""
    *_, leanest = steps
    if leanest.ratio > job.budget.ratio + TOLERANCE:
        raise BudgetError(
            f"LD-Pruner leaves {leanest.ratio:.4f} of the dense MACs ({job.budget.convention}) with all operators "
            f"modified; raise --budget from {job.budget.ratio:g}"
        )


def _remark(budget: Budget, p: int | None, cut: Cut, candidates: int) -> str:
    """Why the network lies below its budget; empty if it does not."""
    if abs(budget.missed_by(cut.ratio)) <= TOLERANCE:
        return ""
    where = f"{len(cut.operators)} of {candidates} operators are modified and leave {cut.ratio:.4f} of the dense MACs"
    if p is not None:
        return f"{where}, as p={p} asks for"
    last = cut.operators[-1]
    return f"{where}: operators go whole, lowest first, and without {last.path} ({last.kind}) it is {cut.before:.4f}"


def _report(ranked: Sequence[Operator], found: Scored, saved: Mapping[str, int], cut: Cut) -> dict[str, Any]:
    """What Figs. 4 and 10 to 15 are drawn from: every operator with its scores, lowest first, and what became of it."""
    rows = [
        {
            "operator": operator.path,
            "kind": operator.kind,
            "score": finite(found.scores[operator.path]),
            "avg_dist": finite(found.avg[operator.path]),
            "std_dist": finite(found.std[operator.path]),
            "saved_macs": saved[operator.path],
            "modified": operator in cut.operators,
        }
        for operator in ranked
    ]
    return {"unet_samples": found.samples, "prompts": found.prompts, "macs_ratio": cut.ratio, "operators": rows}
