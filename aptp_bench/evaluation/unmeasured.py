"""Which metrics a run will not have, and why, told before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from aptp_bench import registry
from aptp_bench.core.recipe import Recipe


def unmeasured(recipe: Recipe, anywhere: bool = False) -> dict[str, str]:
    """Metric -> why a run of this recipe will not measure it. Raises UnknownNameError, ConfigError.

    anywhere: say only what the recipe lacks, not what this machine does.
    """
    found = {name: _lacks(name, recipe, anywhere) for name in recipe.metrics}
    return {name: why for name, why in found.items() if why}


def say_unmeasured(recipes: Iterable[Recipe], say: Callable[[str], None], said: set[str]) -> None:
    """Name the metrics that runs will not have before hours are spent on them, each once. said: those that were named; it grows."""
    for recipe in recipes:
        for metric, why in unmeasured(recipe).items():
            if metric not in said:
                say(f"{metric} will not be measured: {why.partition('; ')[0]}")
                said.add(metric)


def _lacks(name: str, recipe: Recipe, anywhere: bool) -> str | None:
    metric = registry.get("metrics", name)(**recipe.metric_config.get(name, {}))
    if metric.on == "partiprompts" and not (recipe.prompts and recipe.sizes.partiprompts):
        return "there are no second prompts in this run; --set prompts=… names some"
    if "reference" in metric.needs and recipe.reference is None:
        return "there is no reference row in this run; --set reference=dense makes one"
    if anywhere:
        return None
    network = recipe.backbones.get(metric.backbone or "")
    if network is None:
        return metric.missing()
    return registry.get("backbones", network)(**recipe.backbone_config.get(network, {})).missing() or metric.missing()
