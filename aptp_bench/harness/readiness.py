"""What a run will lack, told before it begins: files, weights, an encoder, networks of metrics. Nothing large is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from aptp_bench import registry
from aptp_bench.core.recipe import Recipe
from aptp_bench.errors import AptpBenchError
from aptp_bench.evaluation.unmeasured import unmeasured


class Need(NamedTuple):
    """What a run wants. lacks: why it cannot be had, with the fix, None if it can; stops: whether a run stops without it."""

    what: str
    lacks: str | None
    stops: bool = True


def needs(recipe: Recipe) -> Iterator[Need]:
    """All that a run of the recipe wants: with its own paths, weights and options, not the defaults'."""
    yield Need(f"dataset {recipe.dataset}", registry.get("datasets", recipe.dataset)(**recipe.dataset_config).missing())
    if recipe.prompts and recipe.sizes.partiprompts:
        source = registry.get("datasets", recipe.prompts)(**recipe.prompts_config)
        lacks = source.missing()
        yield Need(f"prompts {recipe.prompts}", lacks and of_prompts(lacks))
    yield Need(f"model {recipe.model}", registry.get("models", recipe.model)().lacks(recipe.weights))
    method = registry.get("methods", recipe.method)(**recipe.method_config)
    why = method.missing()
    try:
        method.check(recipe.scale)
    except AptpBenchError as err:
        why = why or str(err)
    yield Need(f"method {recipe.method}", why)
    lacking = unmeasured(recipe)
    yield from (Need(f"metric {name}", lacking.get(name), stops=False) for name in recipe.metrics)


def of_prompts(said: str) -> str:
    """What a data set says of its settings, where these are the second evaluation set's."""
    return said.replace("dataset_config", "prompts_config")
