"""Rows of a table: read from YAML, chosen by label, carried out past failures, which are named all at once at the end."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from aptp_bench.core.documents import first_problem, meant, typed, written_yaml
from aptp_bench.core.files import content
from aptp_bench.errors import AptpBenchError, ConfigError, SuiteError


class Labelled(Protocol):
    """A row, or one of its runs."""

    @property
    def label(self) -> str:
        """How --only, progress and the table call it."""
        ...


Document = TypeVar("Document", bound=BaseModel)
Item = TypeVar("Item", bound=Labelled)
Rows = TypeVar("Rows", bound="Iterable[Labelled]")
Result = TypeVar("Result")


def read(kind: type[Document], path: Path, name: str, example: str) -> Document:
    """The YAML document at `path`. name: how errors call it; example: a valid one. Raises ConfigError."""
    try:
        document = written_yaml(content(path).decode())
        return typed(kind, {} if document is None else document)
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise ConfigError(f"{name} is not YAML ({' '.join(str(err).split())}); fix it and run again") from err
    except (OSError, ValueError) as err:  # pydantic's errors are ValueErrors
        raise ConfigError(f"{name}: {_unknown(kind, err) or first_problem(err)}; see {example} for an example") from err


def _unknown(kind: type[BaseModel], err: Exception) -> str | None:
    """What to say of a key that nothing reads, with the one that may be meant: also where that one is what is lacking."""
    for each in err.errors() if isinstance(err, ValidationError) else ():
        if each["type"] == "extra_forbidden":
            *above, key = map(str, each["loc"])
            known = _keys(kind) if above else kind.model_fields
            return f"there is no {'.'.join([*above, key])}; {meant(key, known)}"
    return None


def _keys(kind: Any) -> set[str]:
    """The keys of a document and of all that it holds."""
    own = set(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else set()
    inner = [field.annotation for field in kind.model_fields.values()] if own else get_args(kind)
    return own.union(*map(_keys, inner))


def distinct(rows: Rows) -> Rows:
    """The rows as they are. Raises ValueError if two have one label."""
    seen: set[str] = set()
    for row in rows:
        if row.label in seen:
            raise ValueError(f"two rows are called '{row.label}'; give each its own label")
        seen.add(row.label)
    return rows


def chosen(rows: Sequence[Item], only: Sequence[str], left_out: Mapping[str, str] | None = None) -> list[Item]:
    """The rows whose labels are in `only`, all if it is empty. left_out: why others cannot be run. Raises ConfigError."""
    known = dict.fromkeys(row.label for row in rows)
    for label in only:
        if label not in known:
            why = f": {left_out[label]}" if left_out and label in left_out else ""
            names = ", ".join(known)
            raise ConfigError(f"the suite has no row '{label}' that can be run{why}; use --only with one of: {names}")
    return [row for row in rows if not only or row.label in only]


def attempt(make: Callable[[], Result], log: Path) -> tuple[Result | None, str | None]:
    """The result, or why there is none.

    A failure that is a bug, in a third-party plugin or here, stops this piece of work only: its traceback goes to the
    file `log`, which the reason names.
    """
    try:
        return make(), None
    except AptpBenchError as err:
        return None, str(err)
    except Exception as err:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("".join(traceback.format_exception(err)), encoding="utf-8")
        return None, f"{type(err).__name__}: {first_problem(err)} (traceback: {log})"


def raise_failures(failures: Mapping[str, str], total: int) -> None:
    """Raise SuiteError with every reason, if there is one."""
    if failures:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise SuiteError(f"{len(failures)} of {total} runs failed: {reasons}")
