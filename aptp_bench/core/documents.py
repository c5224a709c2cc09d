"""Typed documents, and how to say in one line what is wrong with one or what was meant by a misspelt name."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from aptp_bench.core.texts import unambiguous_json

Document = TypeVar("Document", bound=BaseModel)
MOST_VALUES = 100_000  # of a document that a user writes: the longest suite has two thousand
TRUTH = PydanticCustomError("truth_for_a_number", "true and false are no numbers")


class Frozen(BaseModel):
    """A value that nobody edits and that holds nothing unnamed: the base of every configuration and document."""

    model_config = ConfigDict(frozen=True, extra="forbid")


EXECUTION: dict[str, Any] = {
    "execution": True
}  # json_schema_extra of a setting that decides no number: see `execution`


def execution(kind: type[BaseModel]) -> set[str]:
    """Names of the settings that decide no number: where things lie, in how many parts work is done, how often it is saved."""
    extras = {name: field.json_schema_extra for name, field in kind.model_fields.items()}
    return {name for name, extra in extras.items() if isinstance(extra, dict) and extra.get("execution")}


def not_plain(value: Any) -> Iterator[Any]:
    """The parts of a value that JSON cannot hold as they are: a tensor, a path, NaN, half of a letter, a number for a key."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from not_plain(key) if isinstance(key, str) else (key,)
            yield from not_plain(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from not_plain(part)
    elif isinstance(value, str):
        yield from () if value == value.encode(errors="ignore").decode() else (value,)
    elif not (value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))):
        yield value


class Problem(NamedTuple):
    """What is wrong with one entry of a document. where: its dotted key, empty for the whole; got: what stands there."""

    where: str
    what: str
    got: Any
    unknown: bool  # whether there is no such key


def problem_of(err: ValidationError) -> Problem:
    """The first thing that pydantic found wrong."""
    first = err.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ")  # pydantic's word for what a rule of ours says
    return Problem(where, said, first.get("input"), first["type"] == "extra_forbidden")


def first_problem(err: Exception) -> str:
    """The first thing that is wrong, in one line: where, and what."""
    if not isinstance(err, ValidationError):
        return (str(err).splitlines() or [type(err).__name__])[0]
    where, what, *_ = problem_of(err)
    return f"{where}: {what}" if where else what


def from_json(kind: type[Document], text: bytes, strict: bool = False) -> Document:
    """A JSON document as a `kind`. Raises ValueError, ValidationError among them, also for a key that stands twice.

    strict: nothing is converted, "1" to a number for one.
    """
    unambiguous_json(text.decode("utf-8"), finite=True)  # pydantic takes NaN, and the last of two, without a word
    return kind.model_validate_json(text, strict=strict)


def shipped_yaml(text: str) -> Any:
    """A YAML document of ours, by the parser in C where there is one: ten times as fast.

    Not for what users write: nothing stops it where brackets are too deep for the stack.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class _Core(yaml.SafeLoader):
    """Plain words mean what YAML 1.2's core schema says: 010 is ten, 1e-4 a number, and 1:30, yes and dates are texts."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def whole(self, node: yaml.ScalarNode) -> int:
        """Decimal unless 0x or 0o says otherwise."""
        text = str(self.construct_scalar(node)).lower()
        try:
            return int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))
        except ValueError as err:  # also one of thousands of digits, which Python does not read
            raise yaml.constructor.ConstructorError(None, None, f"'{text[:20]}' is no whole number", None) from err


for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),  # not of the schema; suites may lay one mapping on another
):
    _Core.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), _first)
_Core.add_constructor("tag:yaml.org,2002:int", _Core.whole)


class _Unambiguous(_Core):
    """A document that says everything once."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Refuse a key that stands twice, of which the last would be taken; one that is merged in may stand here too."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[tuple[str, Any]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and not key.tag.endswith(":merge"):
                if (key.tag, key.value) in seen:
                    raise yaml.composer.ComposerError(None, None, f"'{key.value}' stands there twice", key.start_mark)
                seen.add((key.tag, key.value))
        return node


def written_yaml(text: str) -> Any:
    """A YAML document, or the value of a setting, as a user writes it: no key may stand twice in it.

    Raises yaml.YAMLError, whatever is wrong.
    """
    loader = None
    try:
        loader = _Unambiguous(text)
        node = loader.get_single_node()
        _check_size(node)
        return None if node is None else loader.construct_document(node)
    except RecursionError as err:
        raise yaml.YAMLError("it is nested too deeply") from err
    except (ValueError, LookupError, TypeError, AttributeError) as err:  # of PyYAML's own constructors: !!float x
        raise yaml.YAMLError(f"a value is not of its type: {first_problem(err)}") from err
    finally:
        if loader is not None:
            loader.dispose()


def _check_size(node: yaml.Node | None) -> None:
    """Raise YAMLError for a document that says little and means millions of values, or holds itself: readers never end."""
    sizes: dict[int, int] = {}

    def size(each: yaml.Node) -> int:
        if id(each) not in sizes:
            sizes[id(each)] = MOST_VALUES + 1  # until it is known: met again below itself it has no end
            parts = [part for pair in each.value for part in pair] if isinstance(each, yaml.MappingNode) else each.value
            sizes[id(each)] = 1 if isinstance(each, yaml.ScalarNode) else 1 + sum(map(size, parts))
        return sizes[id(each)]

    if node is not None and size(node) > MOST_VALUES:
        raise yaml.YAMLError(f"it holds itself, or more than {MOST_VALUES:,} values")


def said_once(settings: Sequence[str]) -> Sequence[str]:
    """ "key=value" lines that are written in one place, as they are. Raises ValueError where two say the same key: one is not heard."""
    seen: set[str] = set()
    for setting in settings:
        key, _, text = setting.partition("=")
        for leaf in _leaves(key.removeprefix("method_config."), text):
            if leaf in seen:
                raise ValueError(f"the setting '{leaf}' is given twice; leave one out")
            seen.add(leaf)
    return settings


def last_said(settings: Sequence[str]) -> list[str]:
    """Lines of several places, one after the other, without those that a later one says anew: what a command gives once."""
    kept: list[str] = []
    later: set[str] = set()
    for setting in reversed(settings):
        key, _, text = setting.partition("=")
        leaves = _leaves(key.removeprefix("method_config."), text)
        if key == "as" or not later.issuperset(leaves):
            kept.append(setting)
        later.update(leaves)
    return kept[::-1]


def _leaves(key: str, text: str) -> list[str]:
    """The keys that a setting says: of a mapping those in it."""
    try:
        value = written_yaml(text) if "{" in text else None
    except yaml.YAMLError:  # said where it is read
        value = None
    return [f"{key}.{name}" for name in value] if isinstance(value, dict) else [key]


def typed(kind: type[Document], document: Any) -> Document:
    """What a user wrote, as a `kind`. Raises ValidationError, also for true or false where a number is due."""
    made = kind.model_validate(document)
    for where, given in _truths(document, made):
        raise ValidationError.from_exception_data(kind.__name__, [{"type": TRUTH, "loc": where, "input": given}])
    return made


def _truths(given: Any, made: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], bool]]:
    """Where pydantic made a number of a truth."""
    if given is made:  # taken as it is; it may hold itself
        return
    if isinstance(given, bool) and isinstance(made, int | float):
        yield at, given
    elif isinstance(given, Mapping):
        parts = dict(made) if isinstance(made, BaseModel | Mapping) else {}
        for key in given.keys() & parts.keys():
            yield from _truths(given[key], parts[key], (*at, key))
    elif isinstance(given, list | tuple) and isinstance(made, list | tuple):
        for i, pair in enumerate(zip(given, made, strict=False)):
            yield from _truths(*pair, (*at, i))


def nearest(name: str, known: Iterable[str], most: int = 1, cutoff: float = 0.5) -> list[str]:
    """The known names that look like this one whatever their case, the nearest first. cutoff: 0 takes any, 1 equals."""
    cased = {each.lower(): each for each in known}
    return [cased[each] for each in difflib.get_close_matches(name.lower(), cased, n=most, cutoff=cutoff)]


def meant(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint for a name that is not known: the nearest one, else `otherwise`, else all of them."""
    known = list(known)
    near = nearest(name, known)
    return f"did you mean '{near[0]}'?" if near else otherwise or f"known: {', '.join(known) or 'none'}"
