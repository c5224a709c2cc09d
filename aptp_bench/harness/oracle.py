"""What routing could win: what uniform cuts take from each kind of prompt, and what the best allocation would save.

The kinds are those of a dataset's column. The damage of a kind is the rise of its denoising error on held-out pairs, against
the dense network on the same steps and noise; or what its images lose in a metric that gives each prompt a number.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from aptp_bench import config
from aptp_bench.budget import TOLERANCE, Budget
from aptp_bench.core.documents import Frozen
from aptp_bench.core.intervals import GROUPS, jackknife_interval, left_out
from aptp_bench.core.provenance import provenance
from aptp_bench.core.recipe import Recipe, World
from aptp_bench.core.store import Stage, Store
from aptp_bench.errors import ConfigError, DataError, MetricError
from aptp_bench.harness.inputs import VAL, Materials
from aptp_bench.harness.run import EXPERTS, Bench
from aptp_bench.harness.run_folder import MIXTURE
from aptp_bench.models.mixture import Mixture
from aptp_bench.pruning.allocation import Allocation, Curve, allocate
from aptp_bench.records import Provenance, write
from aptp_bench.training.damage import Yardstick
from aptp_bench.training.diffusion import Noising
from aptp_bench.training.latents import Pairs, encode_pairs

FOLDER = "oracle"
DENOISING = "denoising"
RARE, FEW = "(rare)", 16  # kinds with fewer held-out pairs are put together

Judge = Callable[
    [Bench | None, Stage | None], Tensor
]  # of a cut network, or of the dense one: how bad each prompt is, [n]


class Kind(Frozen):
    """One kind of prompt. error: the dense network's, or minus its score; damages: what each cut adds, and standard errors."""

    name: str
    pairs: PositiveInt
    error: float
    damages: tuple[float, ...]
    standard_errors: tuple[float, ...]


class Gain(Frozen):
    """At a mean ratio: the share of the uniform damage that the best allocation saves, and its ratios, one a kind.

    gain: allocated and judged on the same pairs, which flatters it; interval: its jackknife's; cross_fitted: allocated
    on one half of the pairs and judged on the other, both ways, which can be negative.
    """

    mean: float
    gain: float
    interval: tuple[float, float]
    cross_fitted: float
    ratios: tuple[float, ...]


class OracleGain(Frozen):
    """What was cut, what each kind lost, and what an oracle would win. cuts: counted shares of the dense MACs."""

    schema_version: Literal[1] = 1
    world: World
    model: str
    dataset: str
    by: str
    damage: str = DENOISING
    method: str
    convention: str
    finetune_steps: int
    steps: PositiveInt
    cuts: tuple[float, ...]
    kinds: tuple[Kind, ...]
    gains: tuple[Gain, ...]
    how: Provenance


@dataclass(frozen=True)
class Question:
    """by: column of the dataset; cuts: budgets of the uniform cuts; means: at which the gain is asked for.

    finetune: whether the cut networks are fine-tuned as the recipe says; steps: diffusion steps of a pair; damage: DENOISING,
    or a metric with one number a prompt.
    """

    by: str = "kind"
    cuts: tuple[float, ...] = (0.8, 0.65, 0.5, 0.35)
    means: tuple[float, ...] = (0.8, 0.65, 0.5)
    finetune: bool = False
    steps: int = 8
    damage: str = DENOISING


def measure(recipe: Recipe, given: Materials, store: Store, asked: Question) -> OracleGain:
    """Cut as `recipe` does, to every cut of `asked`, and compare with the dense network pair by pair.

    Raises DataError for a column that the dataset lacks, BudgetError for a cut that cannot be made.
    """
    labels = kinds_of(given, asked.by)
    judge = (_by_denoising if asked.damage == DENOISING else _by_metric)(recipe, given, store, asked)
    dense = judge(None, None)
    ratios, damages = [], []
    for cut in asked.cuts:
        ratio, bench, made = _cut(recipe, given, store, cut, asked.finetune)
        ratios.append(ratio)
        damages.append(judge(bench, made) - dense)
    found = Found(labels, dense, torch.stack(damages), tuple(ratios))
    return OracleGain(
        world=recipe.scale,
        model=recipe.model,
        dataset=recipe.dataset,
        by=asked.by,
        damage=asked.damage,
        method=recipe.method,
        convention=recipe.budget.convention,
        finetune_steps=recipe.finetune["steps"] if asked.finetune else 0,
        steps=asked.steps,
        cuts=found.ratios,
        kinds=found.kinds(),
        gains=tuple(found.gain(mean) for mean in asked.means),
        how=provenance(recipe.command, given.device, {}, given.digests),
    )


def save(found: OracleGain, results: Path) -> Path:
    """Write it to `results`/oracle, whole or not at all; where it lies."""
    tuned = f"tuned{found.finetune_steps}" if found.finetune_steps else "untuned"
    name = f"{found.dataset}-{found.by}-{found.damage}-{found.method}-{tuned}-{found.world}.json"
    return write(found, results / FOLDER / name)


def kinds_of(given: Materials, by: str) -> list[str]:
    """The kind of every held-out pair. Raises DataError for a column that is not there."""
    columns = [name for name in given.val.column_names if name not in ("image", "caption")]
    if by not in columns:
        raise DataError(f"the dataset has no column '{by}' to sort prompts by; it has {', '.join(columns) or 'none'}")
    labels = [str(label) for label in given.val[by]]
    counts = Counter(labels)
    return [label if counts[label] >= FEW else RARE for label in labels]


@dataclass(frozen=True)
class Found:
    """labels: kind of each of n pairs; dense: [n] errors; damages: [cuts, n]; ratios: one a cut."""

    labels: Sequence[str]
    dense: Tensor
    damages: Tensor
    ratios: tuple[float, ...]

    @property
    def names(self) -> list[str]:
        """The kinds in alphabetical order."""
        return sorted(set(self.labels))

    @property
    def index(self) -> Tensor:
        """Number of each pair's kind among `names`, int64 [n]."""
        place = {name: i for i, name in enumerate(self.names)}
        return torch.tensor([place[label] for label in self.labels])

    def kinds(self) -> tuple[Kind, ...]:
        """What every kind loses, those that lose most at the leanest cut first."""
        rows = []
        for i, name in enumerate(self.names):
            own = self.damages[:, self.index == i]
            rows.append(
                Kind(
                    name=name,
                    pairs=own.shape[1],
                    error=float(self.dense[self.index == i].mean()),
                    damages=tuple(own.mean(1).tolist()),
                    standard_errors=tuple(
                        (own.std(1, correction=int(own.shape[1] > 1)) / own.shape[1] ** 0.5).tolist()
                    ),
                )
            )
        return tuple(sorted(rows, key=lambda row: -row.damages[-1]))

    def gain(self, mean: float) -> Gain:
        """What the best allocation of a mean ratio saves. Raises BudgetError for a mean beyond the cuts."""
        asked, leanest = mean, min(self.ratios)
        mean = leanest if abs(mean - leanest) <= TOLERANCE else mean  # a cut lands that near the ratio asked for
        everyone = torch.arange(len(self.labels))
        whole = self._allocated(everyone, mean)
        without = left_out(len(self.labels), GROUPS)
        rest = [everyone[~torch.isin(everyone, group)] for group in without]
        replicates = torch.tensor([self._allocated(rows, mean).gain for rows in rest], dtype=torch.float64)
        ratios = dict(zip(self.names, whole.ratios, strict=True))
        return Gain(
            mean=asked,
            gain=whole.gain,
            interval=jackknife_interval(whole.gain, replicates, floor=0.0),
            cross_fitted=self._cross_fitted(mean),
            ratios=tuple(ratios[kind.name] for kind in self.kinds()),
        )

    def _curves(self, rows: Tensor) -> list[Curve]:
        """The damage of every kind on these pairs; of a kind that has none of them, on all."""
        index, curves = self.index, []
        for i in range(len(self.names)):
            own = rows[index[rows] == i]
            own = own if len(own) else torch.nonzero(index == i)[:, 0]
            means = self.damages[:, own].mean(1).tolist()
            curves.append(Curve.through(dict(zip(self.ratios, means, strict=True))))
        return curves

    @property
    def _weights(self) -> list[float]:
        return torch.bincount(self.index, minlength=len(self.names)).tolist()

    def _allocated(self, rows: Tensor, mean: float) -> Allocation:
        return allocate(self._curves(rows), self._weights, mean)

    def _cross_fitted(self, mean: float) -> float:
        order = torch.argsort(self.index, stable=True)  # neighbours are of one kind: each half has as many of each
        halves = order[::2], order[1::2]
        paid = saved = 0.0
        for chosen, judged in (halves, halves[::-1]):
            ratios = self._allocated(chosen, mean).ratios
            for curve, weight, ratio in zip(self._curves(judged), self._weights, ratios, strict=True):
                paid += weight * curve(mean)
                saved += weight * (curve(mean) - curve(ratio))
        return saved / paid if paid > 0 else 0.0


def _held_out(recipe: Recipe, given: Materials, store: Store) -> Stage:
    """Latents and text embeddings of the held-out pairs."""
    pixels = recipe.resolution.train

    def encode(folder: Path) -> None:
        encode_pairs(given.teacher, given.val, store.progress, recipe.encode_batch, pixels, folder)

    key = {"model": given.digests["model"], "data": given.digests[VAL], "resolution": pixels}
    return store.stage("held-out", encode, key=key, shared=True)


def _by_denoising(recipe: Recipe, given: Materials, store: Store, asked: Question) -> Judge:
    """Denoising errors of held-out pairs."""
    pairs = Pairs.load(_held_out(recipe, given, store).folder)
    yardstick = Yardstick(pairs, Noising.of(given.teacher.scheduler), asked.steps, recipe.seed)

    def judge(bench: Bench | None, made: Stage | None) -> Tensor:
        if bench is None or made is None:
            return yardstick.errors(given.teacher.unet, given.device, store.progress, "denoise, dense")
        unet = Mixture.load(made.folder / MIXTURE, given.device).experts[0]
        return yardstick.errors(unet, given.device, store.progress, f"denoise, {bench.recipe.budget.ratio:g}")

    return judge


def _by_metric(recipe: Recipe, given: Materials, store: Store, asked: Question) -> Judge:
    """What each prompt's image is worth in a metric, the sign so that more is worse. Raises ConfigError, MetricError."""
    reference = config.reference_of(recipe)
    if reference is None:
        raise ConfigError("damage in a metric is held against a reference; use --set reference=dense")

    def judge(bench: Bench | None, made: Stage | None) -> Tensor:
        if bench is None or made is None:
            bench = Bench.of(reference.model_copy(update={"metrics": (asked.damage,)}), given, store)
            _, made = bench.networks_made()
        results, skipped = bench.measure(made, {"dataset": bench.generate(made, "dataset")})
        if asked.damage in skipped:
            raise MetricError(f"{asked.damage} cannot be measured here: {skipped[asked.damage]}")
        found = results[asked.damage]
        if found.replicates is None or len(found.replicates) != len(given.val):
            raise MetricError(f"{asked.damage} leaves no number for each prompt; use clip_score or denoising")
        return torch.tensor(found.replicates, dtype=torch.float64) * (-1 if found.better == "higher" else 1)

    return judge


def _cut(recipe: Recipe, given: Materials, store: Store, ratio: float, finetune: bool) -> tuple[float, Bench, Stage]:
    """The counted ratio of a uniform cut, and its network, fine-tuned if that is asked for."""
    budget = Budget.of(ratio, recipe.budget.convention)
    bench = Bench.of(recipe.model_copy(update={"budget": budget}), given, store)
    pairs = bench.pairs() if finetune or bench.method.uses_data else None
    pruned = bench.prune(pairs, whole=not finetune)
    facts: dict[str, Any] = json.loads((pruned.folder / EXPERTS).read_text(encoding="utf-8"))
    if len(facts["experts"]) > 1:
        raise ConfigError(
            f"'{recipe.method}' makes {len(facts['experts'])} networks; a uniform cut is one: --method norm"
        )
    made = bench.finetune(pruned, pairs) if finetune and pairs is not None else pruned
    macs = [each["macs"][recipe.budget.convention] for each in (facts["experts"][0], facts["dense"])]
    return macs[0] / macs[1], bench, made


def with_teacher(given: Materials, teacher: Any) -> Materials:
    """The same data for another dense pipeline."""
    from aptp_bench.core.digests import weights_digest

    return replace(given, teacher=teacher, digests=given.digests | {"model": weights_digest(teacher)})
