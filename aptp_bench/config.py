"""A run's settings: one frozen object, every default in a recipe or beside its meaning, unknown keys refused.

Later beats earlier: the method's defaults, its preset for the scale, the recipe `benchmarks/recipes/<scale>.yaml`, the
loss weights that the method's paper prescribes for fine-tuning, the recipe's section for the dataset, the command's
options, `--set key=value`. `as=paper` stands for the settings that the recipe has under that name for the method.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from aptp_bench import registry
from aptp_bench.budget import Budget
from aptp_bench.contracts.base import Plugin
from aptp_bench.core.documents import nearest, problem_of, shipped_yaml, typed, written_yaml
from aptp_bench.core.recipe import Recipe, World
from aptp_bench.core.settings import FinetuneConfig
from aptp_bench.core.texts import brief
from aptp_bench.errors import ConfigError

SCALES: tuple[str, ...] = get_args(World)
OPTIONS = {"metric_config": "metrics", "backbone_config": "backbones"}  # sections of options by a plugin's name
SHOWN = 80  # letters of a value that an error repeats
TASKS = {"text-to-image": "images of prompts", "image": "images", "audio": "sounds"}
Settings = TypeVar("Settings", bound=BaseModel)
FLAGS = frozenset({"method", "dataset", "scale", "settings"})  # options of the command, not keys of --set


def recipe(
    method: str, dataset: str, scale: str = "mini", flags: Mapping[str, Any] | None = None, settings: Sequence[str] = ()
) -> Recipe:
    """The resolved recipe. flags: dotted keys with their values, None where not given; settings: "key=value" lines.

    Raises UnknownNameError for names that nothing provides, ConfigError for keys and values, BudgetError.
    """
    document = {**preset(scale), "method": method, "scale": scale}
    datasets, named = document.pop("datasets", {}), document.pop("as", {})
    dataset = document.pop("aliases", {}).get(dataset, dataset)
    section = datasets.get(dataset, {})
    methods = _methods_at(section, float((flags or {}).get("budget.ratio") or 1))
    kind = registry.get("methods", method)
    document = merged(document, {"finetune": kind.finetuning})
    document = merged(
        document, {"dataset": dataset, **{k: v for k, v in section.items() if k not in ("methods", "up_to")}}
    )
    document = merged(document, {"method_config": merged(kind.presets.get(scale, {}), methods.get(method, {}))})
    if method == document["reference"] or kind.published_as:
        document = placed(document, "budget.ratio", 1.0)  # the network as it is, and weights as they were published
    known = known_keys(kind, registry.get("datasets", dataset), document)
    for key, value in (flags or {}).items():
        document = document if value is None else placed(document, key, value)
    given = [setting for setting in settings if _stands_for(setting, method, scale, named) != []]
    see = f"aptp-bench run --method {method} --dataset {dataset} --scale {scale} --dry-run"
    for setting in given:
        for each in _stands_for(setting, method, scale, named) or [setting]:
            document = placed(document, *parsed(each, known, see))
    document["settings"] = given
    document["model"] = model_named(document["model"])
    return _checked(document)


def _methods_at(section: Mapping[str, Any], ratio: float) -> dict[str, Any]:
    """Options of methods on a dataset, by method: its `methods`, then what it has `up_to` the least budget that is enough."""
    limits = [limit for limit in section.get("up_to", {}) if ratio <= limit]
    return merged(section.get("methods", {}), section["up_to"][min(limits)] if limits else {})


def _stands_for(setting: str, method: str, scale: str, named: Mapping[str, Any]) -> list[str] | None:
    """The settings that "as=paper" stands for, none where that changes nothing for the method; None for any other setting."""
    key, _, name = setting.partition("=")
    if key != "as":
        return None
    if name not in named:
        known = f"; it has {', '.join(named)}" if named else ""
        raise ConfigError(f"the recipe of scale {scale} has no settings called '{name}'{known}")
    return list(named[name].get(method, ()))


def with_reference(asked: Recipe) -> list[Recipe]:
    """This run, after the run of its reference row if it has one."""
    reference = reference_of(asked)
    return [asked] if reference is None else [reference, asked]


def reference_of(asked: Recipe) -> Recipe | None:
    """The recipe of the reference row; None if there is none or this is it."""
    if asked.reference in (None, asked.method):
        return None
    own = Recipe.model_fields.keys() - {"method_config", "budget"}  # it is the whole network
    kept = tuple(s for s in asked.settings if s.partition("=")[0].partition(".")[0] in own)
    flags = {"model": asked.model, "weights": asked.weights, "seed": asked.seed}
    flags["budget.convention"] = asked.budget.convention
    return recipe(str(asked.reference), asked.dataset, asked.scale, flags, kept)


def options(method: str, settings: Sequence[str]) -> dict[str, Any]:
    """A method's options from "key=value" lines. Raises UnknownNameError, ConfigError with near keys."""
    known = [f"method_config.{key}" for key in _dotted(registry.get("methods", method).Config)]
    found = (parsed(setting, known, f"aptp-bench methods {method} --all") for setting in settings)
    return {key.removeprefix("method_config."): value for key, value in found}


def preset(scale: str) -> dict[str, Any]:
    """The recipe file of a scale. Raises ConfigError for a scale that has none."""
    if scale not in SCALES:
        raise ConfigError(f"unknown scale '{scale}'; use --scale with one of {', '.join(SCALES)}")
    return dict(_preset(scale))


@cache
def _preset(scale: str) -> dict[str, Any]:
    """Read once a process: a table resolves a hundred recipes. Nobody may write into it."""
    text = files("aptp_bench.benchmarks.recipes").joinpath(f"{scale}.yaml").read_text(encoding="utf-8")
    return dict(shipped_yaml(text))


def model_named(name: str) -> str:
    """A model's name; that of a scale stands for the model of its recipe."""
    return str(preset(name)["model"]) if name in SCALES else name


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid on it, mapping by mapping; neither is changed."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def placed(document: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """`document` with the dotted key set."""
    for part in reversed(_parts(key)):
        value = {part: value}
    return merged(document, value)


def _parts(key: str) -> list[str]:
    """Those of a dotted key. A plugin's name is one of them, and may have a dot: backbone_config.hps-v2.1.batch."""
    section, _, rest = key.partition(".")
    named = (
        [name for name in registry.plugins(OPTIONS[section]) if f"{rest}.".startswith(f"{name}.")]
        if section in OPTIONS
        else []
    )
    if not named:
        return key.split(".")
    name = max(named, key=len)
    return [section, name, *rest[len(name) + 1 :].split(".")] if rest != name else [section, name]


def parsed(setting: str, known: Sequence[str], see: str) -> tuple[str, Any]:
    """The dotted key and the value of "sampling.steps=5"; a method's option may omit `method_config.`.

    see: the command that shows all keys. Raises ConfigError with near keys.
    """
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set takes key=value, e.g. --set sampling.steps=10; got '{setting}'")
    if not text.strip():  # YAML reads none; more often a shell's variable was empty
        raise ConfigError(f"--set {key}= has no value; give one, or null where none is meant: --set {key}=null")
    for full in (key, f"method_config.{key}"):
        if full in known:
            try:
                return full, _value(text)
            except yaml.YAMLError as err:
                why = getattr(err, "problem", None) or err
                what = f"--set {key}: '{text[:SHOWN]}' is not a YAML value ({brief(why)})"
                raise ConfigError(f"{what}; quote it, e.g. --set '{key}=\"text\"'") from err
    raise ConfigError(f"there is no setting '{key}'; {_near(key, known)} (see them all: {see})")


@cache
def _value(text: str) -> Any:
    """What is written behind "=": the rows of a suite say the same again and again. Nobody may write into it."""
    return written_yaml(text)


def known_keys(method: type[Plugin], dataset: type[Plugin], document: Mapping[str, Any]) -> list[str]:
    """Every dotted key that --set takes."""
    keys = [key for key in _dotted(Recipe) if key not in FLAGS]
    keys += [f"backbones.{role}" for role in document.get("backbones", {})]
    networks = dict.fromkeys(document.get("backbones", {}).values())
    for section, names in (("metric_config", document.get("metrics", ())), ("backbone_config", networks)):
        kinds = {name: registry.get(OPTIONS[section], name) for name in names}
        keys += [f"{section}.{name}.{key}" for name, kind in kinds.items() for key in _dotted(kind.Config)]
    keys += [f"method_config.{key}" for key in _dotted(method.Config)]
    keys += [f"dataset_config.{key}" for key in _dotted(dataset.Config)]
    if document.get("prompts"):
        keys += [f"prompts_config.{key}" for key in _dotted(registry.get("datasets", str(document["prompts"])).Config)]
    return keys + [f"finetune.{key}" for key in _dotted(FinetuneConfig)]


@cache
def _dotted(model: type[BaseModel]) -> Sequence[str]:
    keys = []
    for name, field in model.model_fields.items():
        nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        keys += [f"{name}.{key}" for key in _dotted(field.annotation)] if nested else [name]  # type: ignore[arg-type]
    return keys


def _same_world(asked: Recipe) -> None:
    """Raise UnknownNameError for a name that nothing provides, ConfigError for one of another world."""
    world = "paper" if asked.scale == "paper" else "mini"
    named = [("datasets", asked.dataset), ("models", asked.model)]
    named += [("datasets", asked.prompts)] if asked.prompts else []
    named += [("backbones", name) for name in asked.backbones.values()]
    for group, name in named:
        kind = registry.get(group, name)
        if kind.world != world:
            what = f"{group[:-1]} '{name}' is of the {kind.world} world"
            raise ConfigError(f"{what}, and numbers of two worlds do not mix; use --scale {kind.world}")
    for name in asked.metrics:
        registry.get("metrics", name)
    if not asked.metrics or len(set(asked.metrics)) < len(asked.metrics):
        what = f"metrics=[{','.join(asked.metrics)}] names {'one twice' if asked.metrics else 'none'}"
        raise ConfigError(f"{what}; name each metric once")


def _cast(asked: Recipe) -> None:
    """Raise ConfigError for a network in a role that it cannot play: its features are other ones, or it has none."""
    for role, name in asked.backbones.items():
        plays = getattr(registry.get("backbones", name), "role", ())
        if role not in plays:
            what = f"backbone '{name}' plays {', '.join(plays) or 'no role'}, not {role}"
            raise ConfigError(f"{what}; name another with --set backbones.{role}=NAME (see: aptp-bench backbones)")


def _same_task(asked: Recipe, method: Any, dataset: Any) -> None:
    """Raise ConfigError unless the method, the data and the way of sampling suit what the model makes."""
    model = registry.get("models", asked.model)
    what = f"model '{model.name}' makes {TASKS[model.task]}"
    if model.reads_prompts() and not dataset.captioned:
        raise ConfigError(f"{what}, and dataset '{dataset.name}' has no captions; choose another model or dataset")
    if (model.task == "audio") != (dataset.holds == "sounds"):
        raise ConfigError(f"{what}, and dataset '{dataset.name}' holds {dataset.holds}; choose another with --dataset")
    if model.reads_prompts():
        return
    if method.needs_prompts():
        raise ConfigError(
            f"{what} without prompts, and method '{method.name}' goes by what prompts say; choose another"
        )
    if asked.prompts:
        raise ConfigError(f"{what} without prompts; leave the second prompts out: --set prompts=null")
    if asked.sampling.guidance != 1:
        raise ConfigError(f"{what} without prompts, so there is nothing to guide to; --set sampling.guidance=1")


def _near(key: str, known: Sequence[str]) -> str:
    """Which keys were perhaps meant: those that end alike, else those that look alike."""
    short = {k.removeprefix("method_config."): None for k in known}
    leaf = key.rpartition(".")[2]
    alike = [k for k in short if k.rpartition(".")[2] == leaf]
    near = nearest(key, alike, 3, cutoff=0) or nearest(key, short, 3, cutoff=0.6)
    near = near or [k for k in short if nearest(leaf, [k.rpartition(".")[2]], cutoff=0.7)][:3]
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"groups are {', '.join(sorted({k.partition('.')[0] for k in known}))}"


def _checked(document: Mapping[str, Any]) -> Recipe:
    """A Recipe whose names exist and belong together, and whose options are complete with their defaults."""
    if isinstance(ratio := document["budget"]["ratio"], int | float):
        Budget.of(ratio, document["budget"]["convention"])  # its error says more than a type can
    own = registry.get("methods", str(document["method"])).Config.model_fields
    asked = _typed(Recipe, document, shadowed=own)
    _same_world(asked)
    _cast(asked)
    method = registry.get("methods", asked.method)(**asked.method_config)
    dataset = registry.get("datasets", asked.dataset)(**asked.dataset_config)
    _same_task(asked, method, dataset)
    if asked.prompts:
        registry.get("datasets", asked.prompts)(**asked.prompts_config)  # raises, as below
    for section, group in OPTIONS.items():
        for name, options in getattr(asked, section).items():
            registry.get(group, name)(**options)  # raises ConfigError for an option that it has not
    resolved = {
        "method_config": method.config.model_dump(mode="json"),
        "dataset_config": dataset.config.model_dump(mode="json"),
        "finetune": _typed(FinetuneConfig, asked.finetune, "finetune.").model_dump(mode="json"),
    }
    return asked.model_copy(update=resolved)


def _typed(
    kind: type[Settings], document: Mapping[str, Any], section: str = "", shadowed: Container[str] = ()
) -> Settings:
    """The settings of a section, typed. shadowed: options of the method. Raises ConfigError that names the whole key."""
    try:
        return typed(kind, document)
    except ValidationError as err:
        where, what, got, _ = problem_of(err)
        key = f"{section}{where}"
        whole = re.split(r"\.(?=\d|\[)", key)[0]  # what --set takes: a list, not its third entry
        other = f", or the method's own with --set method_config.{whole}=…" if whole in shadowed else ""
        raise ConfigError(
            f"setting '{key}': {what} (got {repr(got)[:SHOWN]}); change it with --set {whole}=…{other}"
        ) from err
