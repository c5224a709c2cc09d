"""An entry: the records of one network, which differ in their seed and in how they were measured at most."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal, get_args

from aptp_bench import registry
from aptp_bench.contracts.base import PluginConfig
from aptp_bench.core.documents import execution
from aptp_bench.core.recipe import OPTIONAL, Recipe
from aptp_bench.core.settings import FinetuneConfig
from aptp_bench.records import Measurement, Record

Kind = Literal["reference", "main", "published", "variant"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# What is set without making another network: how it is measured, and how much is done at once.
MEASURING = (
    *("weights", "metrics", "latency", "reference", "backbones", "prompts", *OPTIONAL, "sampling", "encode_batch"),
    *("store_text", "resolution.measure", "sizes.val", "sizes.partiprompts"),
    *(f"finetune.{name}" for name in execution(FinetuneConfig)),
)
# What two measurements of one metric must share to be compared; None stands for what a metric does not say.
PROTOCOL = (
    *("backbone", "weights_sha256", "resize", "n_real", "splits", "against", "window", "counted", "convention"),
    *("device", "dtype", "threads", "batch", "steps", "guidance"),
)
READ_OFF_IMAGES = ("backbone", "against")  # a measurement that says either judges images


@dataclass(frozen=True)
class Entry:
    """Records that differ in their seed, in the order of their seeds."""

    records: tuple[Record, ...]

    @property
    def first(self) -> Record:
        """The record that speaks for all where they agree: settings, world, dataset."""
        return self.records[0]

    @property
    def method(self) -> str:
        """The method's name."""
        return self.first.what.method

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds."""
        return tuple(record.what.seed for record in self.records)

    @cached_property
    def changed(self) -> tuple[str, ...]:
        """The settings in which the network differs from the recipe's, as they were given."""
        what = self.first.what
        options = [
            f"{section}{key}" for key in _execution("methods", what.method) for section in ("", "method_config.")
        ]
        options += [f"dataset_config.{key}" for key in _execution("datasets", what.dataset)]
        apart = tuple(f"{key}." for key in (*MEASURING, *options))
        return tuple(s for s in what.settings if not f"{s.partition('=')[0]}.".startswith(apart))

    @cached_property
    def published(self) -> str:
        """What people call its weights, where they were made elsewhere; empty where they were made here."""
        found = registry.plugins("methods").get(self.method)
        option = found.load().published_as if found else None
        return str(self.first.what.method_config.get(option) or self.method) if option else ""

    @property
    def kind(self) -> Kind:
        """How it stands on a board: the network as it is, ranked, as published without a budget, or with other settings."""
        if self.changed:
            return "variant"
        if self.first.what.budget.ratio == 1:
            return "published" if self.published else "reference"
        return "main"

    @property
    def label(self) -> str:
        """The method, its weights' name if they are published, and the settings in which it differs from the recipe's."""
        return " ".join([self.method, *([self.published] if self.published else []), *self.changed])

    @cached_property
    def name(self) -> str:
        """A short name that no other entry has."""
        return f"{self.method}-{_digest(subject(self.first))}"

    @cached_property
    def protocols(self) -> Mapping[str, tuple[str, ...]]:
        """Metric -> of each record that has it how it was measured, as text: asked for by every pair."""
        return {
            name: tuple(json.dumps(protocol(r, name), sort_keys=True) for r in self.records if name in r.results)
            for name in metric_names([self])
        }

    @property
    def whole(self) -> bool:
        """Whether no parameter is gone: the dense network, whatever it saves by being called less."""
        return all(record.parameters.per_image >= record.parameters.dense for record in self.records)

    def of(self, metric: str) -> list[Measurement]:
        """The measurements of one metric, one a record that has it."""
        return [record.results[metric] for record in self.records if metric in record.results]

    def macs(self, convention: str) -> float:
        """MACs of an image's U-Net call, traffic-weighted, as a share of the dense network's; mean over seeds."""
        ratios = [record.macs[convention].ratio for record in self.records]
        return sum(ratios) / len(ratios)


def entries(records: Iterable[Record]) -> list[Entry]:
    """Records grouped by what they are records of, in the order of the first of each.

    Where a seed was run more than once (measured anew, say), the record with most results counts, the last among equals.
    """
    groups: dict[str, dict[int, Record]] = {}
    for record in records:
        seeds = groups.setdefault(_digest([subject(record), evaluation(record)]), {})
        known = seeds.get(record.what.seed)
        if known is None or len(record.results) >= len(known.results):
            seeds[record.what.seed] = record
    return [Entry(tuple(seeds[seed] for seed in sorted(seeds))) for seeds in groups.values()]


def subject(record: Record) -> dict[str, Any]:
    """All that decides the network and not how it is measured; options that newer releases added have their defaults.

    Weights and data are known by their digests, wherever they lay.
    """
    digests = {key: record.how.digests.get(key) for key in ("model", "train")}
    digests |= {key: digest for key, digest in record.how.digests.items() if key.startswith("method:")}
    return _network(record.what) | {"world": record.world, "digests": digests}


def evaluation(record: Record) -> dict[str, Any]:
    """What was asked of every network alike: captions, images, sampler, backbones. Rankings are of one evaluation."""
    digests = {key: record.how.digests.get(key) for key in ("val", "prompts")}
    return _evaluation(record.what) | {"digests": digests}


def question(what: Recipe) -> str:
    """A digest of what a run is asked, its seed aside: one for a resolved recipe and for all records of its runs."""
    return _digest([_network(what), _evaluation(what)])


def protocol(record: Record, metric: str) -> dict[str, Any]:
    """What a measurement must share with another to stand in one ranking with it."""
    found = record.results[metric]
    shared = {key: found.detail[key] for key in PROTOCOL if key in found.detail}
    shared |= {"metric": metric, "unit": found.unit, "world": record.world}
    if not found.detail.keys().isdisjoint(
        READ_OFF_IMAGES
    ):  # so how they were made and what they are held against counts too
        asked = evaluation(record)
        shared |= {"n": found.n, "images": asked["sampling"], "pixels": record.what.resolution.measure}
        shared |= {"captions": _captions(metric, asked["digests"])}
    return shared


def _captions(metric: str, digests: dict[str, Any]) -> Any:
    """The digest of the prompts that a metric is measured on; of all where it is not installed here."""
    found = registry.plugins("metrics").get(metric)
    return digests if found is None else digests["prompts" if found.load().on == "partiprompts" else "val"]


def metric_names(among: Sequence[Entry]) -> list[str]:
    """The metrics that any of the entries has, in the order of the records."""
    return list(dict.fromkeys(name for entry in among for record in entry.records for name in record.results))


def _network(what: Recipe) -> dict[str, Any]:
    """The settings that decide the network."""

    def decisive(options: dict[str, Any], execution: Container[str]) -> dict[str, Any]:
        return {name: value for name, value in options.items() if name not in execution}

    options = {**_defaults(what.method), **what.method_config}
    return what.model_dump(mode="json", include={"method", "dataset", "model", "scale", "budget"}) | {
        "random_weights": what.random_weights,
        "method_config": decisive(options, _execution("methods", what.method)),
        "dataset_config": decisive(what.dataset_config, _execution("datasets", what.dataset)),
        "train": [what.sizes.train, what.resolution.train],
        "finetune": decisive(what.finetune, execution(FinetuneConfig)),
    }


def _evaluation(what: Recipe) -> dict[str, Any]:
    """The settings that decide what is asked of a network."""
    rest = {"prompts": what.prompts, "backbones": what.backbones, "pixels": what.resolution.measure}
    return {
        "sampling": what.sampling.model_dump(exclude={"batch", "exact"}),
        "sizes": what.sizes.model_dump(exclude={"train"}),
        **rest,
    }


def _defaults(method: str) -> dict[str, Any]:
    """The options of a method that is installed here, in the form that records have."""
    found = registry.plugins("methods").get(method)
    if found is None:
        return {}
    return _defaults_of(found.load().Config)


@cache
def _defaults_of(config: type[PluginConfig]) -> dict[str, Any]:
    """Nobody may write into it."""
    return {name: field.get_default(call_default_factory=True) for name, field in config.model_fields.items()}


@cache
def _execution(group: str, name: str) -> set[str]:
    """The options of a plugin that decide no number; none of one that is not installed here."""
    found = registry.plugins(group).get(name)
    return execution(found.load().Config) if found else set()


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=list).encode()).hexdigest()[:8]
