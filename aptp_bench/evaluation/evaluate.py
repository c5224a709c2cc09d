"""Evaluation: evidence (images, captions, features, the mixture itself) and the metrics that read it.

One backbone reads an image set once, whatever the number of metrics that ask for its features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from pydantic import ValidationError

from aptp_bench import registry
from aptp_bench.contracts.backbone import BackbonePlugin
from aptp_bench.contracts.evidence import Evidence
from aptp_bench.contracts.metric import MEND, Metric
from aptp_bench.core.documents import first_problem
from aptp_bench.core.progress import Progress, SilentProgress
from aptp_bench.core.recipe import Recipe
from aptp_bench.errors import MetricError, WeightsError
from aptp_bench.records import Measurement


def metrics_of(recipe: Recipe) -> list[Metric]:
    """Its metrics, with their options. Raises UnknownNameError, ConfigError."""
    return [registry.get("metrics", name)(**recipe.metric_config.get(name, {})) for name in recipe.metrics]


def backbones(
    roles: Mapping[str, str], device: torch.device, options: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[dict[str, BackbonePlugin], dict[str, str]]:
    """(role -> network, role -> why there is none). Two roles of one name share the network. options: by its name.

    Raises UnknownNameError for a name that nothing provides, before anything is loaded.
    """
    kinds = {name: registry.get("backbones", name) for name in roles.values()}
    networks: dict[str, BackbonePlugin] = {}
    lacking: dict[str, str] = {}
    for name, kind in kinds.items():
        placed = {"device": str(device)} if "device" in kind.Config.model_fields else {}
        network = kind(**{**placed, **(options or {}).get(name, {})})
        if reason := network.missing():
            lacking[name] = reason
        else:
            networks[name] = network
    found = {role: networks[name] for role, name in roles.items() if name in networks}
    return found, {role: lacking[name] for role, name in roles.items() if name in lacking}


def companions(metrics: Iterable[Metric], networks: Mapping[str, BackbonePlugin]) -> dict[str, list[str]]:
    """The roles whose features metrics want of images, reals and reference: what one pass over each of these reads.

    networks: those that there are, by role; what compares pairs of images (see BackbonePlugin.pairs) is read by no pass.
    """
    roles = {role for role, network in networks.items() if not network.pairs}
    asked = [metric for metric in metrics if metric.backbone in roles]
    return {
        kind: list(dict.fromkeys(str(metric.backbone) for metric in asked if kind in metric.needs))
        for kind in ("images", "reals", "reference")
    }


def obstacle(metric: Metric, evidence: Evidence | None, lacking: Mapping[str, str]) -> str | None:
    """Why `metric` cannot be measured, known before any work; None if nothing speaks against it."""
    if evidence is None:
        return f"no {metric.on} images in this run"
    missing = sorted(need for need in metric.needs if not evidence.has(need))
    if missing:
        return f"needs {', '.join(missing)}"
    if metric.backbone is not None and metric.backbone in lacking:
        return lacking[metric.backbone]
    return type(metric).unavailable()


def reading(metric: Metric, evidence: Evidence) -> Measurement:
    """What `metric` says of `evidence`. Raises MetricError if that is no measurement: metrics may be a stranger's."""
    try:
        found: Any = metric(evidence)
    except ValidationError as err:
        if err.title != Measurement.__name__:
            raise
        raise MetricError(f"{metric.name} gives no measurement: {first_problem(err)}; {MEND}") from err
    if not isinstance(found, Measurement):
        what = f"{metric.name} gives a {type(found).__name__}, not a Measurement"
        raise MetricError(f"{what}; return self.measured(value, n=…), or {MEND.partition(', or ')[2]}")
    if (found.unit, found.better) != (metric.unit, metric.better):
        what = f"{metric.name} is '{metric.unit}', {metric.better}, and gives '{found.unit}', {found.better}"
        raise MetricError(f"{what}; return self.measured(value, n=…), which takes them from the class")
    return found


def measure(
    metrics: Sequence[Metric],
    evidences: Mapping[str, Evidence],
    lacking: Mapping[str, str],
    measured: Callable[[Metric, Evidence], Measurement] | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, Measurement], dict[str, str]]:
    """(metric -> measurement, metric -> why it could not be measured). What cannot be measured is named, never made up.

    evidences: by the prompts they come from, "dataset" and "partiprompts"; lacking: role -> why it has no network;
    measured: how one metric is read, by default it is called.
    """
    results: dict[str, Measurement] = {}
    skipped: dict[str, str] = {}
    for metric in (progress or SilentProgress()).track(metrics, "measure"):
        evidence = evidences.get(metric.on)
        reason = obstacle(metric, evidence, lacking)
        if reason is None and evidence is not None:
            try:
                results[metric.name] = (measured or reading)(metric, evidence)
            except (MetricError, WeightsError) as err:
                reason = str(err)
        if reason is not None:
            skipped[metric.name] = reason
    return results, skipped
