"""Typed documents, and how to say in one line what is wrong with one or what was meant by a misspelt name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError


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
    return Problem(where, first["msg"], first.get("input"), first["type"] == "extra_forbidden")


def first_problem(err: Exception) -> str:
    """The first thing that is wrong, in one line: where, and what."""
    if not isinstance(err, ValidationError):
        return (str(err).splitlines() or [type(err).__name__])[0]
    where, what, *_ = problem_of(err)
    return f"{where}: {what}" if where else what


def shipped_yaml(text: str) -> Any:
    """A YAML document of ours, by the parser in C where there is one: ten times as fast.

    Not for what users write: nothing stops it where brackets are too deep for the stack.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def nearest(name: str, known: Iterable[str], most: int = 1, cutoff: float = 0.5) -> list[str]:
    """The known names that look like this one whatever their case, the nearest first. cutoff: 0 takes any, 1 equals."""
    cased = {each.lower(): each for each in known}
    return [cased[each] for each in difflib.get_close_matches(name.lower(), cased, n=most, cutoff=cutoff)]


def meant(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint for a name that is not known: the nearest one, else `otherwise`, else all of them."""
    known = list(known)
    near = nearest(name, known)
    return f"did you mean '{near[0]}'?" if near else otherwise or f"known: {', '.join(known) or 'none'}"
