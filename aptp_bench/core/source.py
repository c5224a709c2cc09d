"""Which source decides a result: a digest over the statements that some functions and classes reach, and over no others.

What is reached is read off the source; nothing is run. A statement reaches those that bind the names it uses, in its
own module and, through imports (inside of functions too), in others. Comments, docstrings and formatting do not count.
What a module does besides when it is imported counts for whoever reaches it. Not seen: names that are made at run time,
and other people's packages, whose versions records keep.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec, resolve_name
from typing import Any, NamedTuple

DIGITS = 16  # of a digest: enough to tell two sources apart
DOCUMENTED = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
SILENT = ("ctx", "kind", "type_comment", "returns")  # parts of a node that nothing executes or that its place says
BINDING = (*DOCUMENTED, ast.Assign, ast.AnnAssign, ast.AugAssign)  # what does nothing but bind its names
EFFECTS, WHOLE = "", "*"


class Name(NamedTuple):
    """A name of a module. attribute: None: all that it has; EFFECTS: only what it does when it is imported."""

    module: str
    attribute: str | None


def source_digest(*roots: Callable[..., Any], packages: Iterable[str] = ()) -> str:
    """A digest of the source that classes and functions reach in their own top-level packages, in ours and in `packages`.

    It is the same on every Python. A method is digested without the rest of its class; a root whose source is nowhere,
    such as one typed into an interpreter, counts by its name. Each module is read once a process.
    """
    tops = {__name__, *packages, *(root.__module__ for root in roots)}
    names = (Name(root.__module__, root.__qualname__.partition(".<locals>")[0]) for root in roots)
    with _uncollected():
        return _digest(tuple(sorted(names)), frozenset(top.partition(".")[0] for top in tops))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Trees are many objects: beside a loaded torch, looking for garbage among them takes five times as long as parsing."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@cache
def _digest(roots: tuple[Name, ...], tops: frozenset[str]) -> str:
    return _sha256("\n".join([*map(str, roots), *sorted(_reached(roots, tops))]))


def _reached(roots: Iterable[Name], tops: frozenset[str]) -> set[str]:
    """A line for every statement that is reached: its module and its digest."""
    lines: set[str] = set()
    seen: set[Name] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in seen or name.module.partition(".")[0] not in tops:
            continue
        seen.add(name)
        module = _module(name.module)
        if module is not None:
            waiting += module.beyond(name.attribute)
            for statement in module.statements(name.attribute):
                lines.add(f"{module.name} {module.digest(statement)}")
                waiting += module.uses(statement)
    return lines


class Module:
    """The statements of a module by the names that they bind, its imports, and its effects: what binds no name for sure."""

    def __init__(self, name: str, package: str, tree: ast.Module) -> None:
        self.name, self.package = name, package
        self.bound: dict[str, list[ast.stmt]] = {}
        self.imports: dict[str, Name] = {}
        self.effects: list[ast.stmt] = []
        self._read: dict[ast.stmt, Reading] = {}
        for statement in tree.body:
            self._place(statement)

    def _place(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test):
            for other in statement.orelse:
                self._place(other)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            self.imports |= _imported(statement, self.package)
        elif not _is_text(statement):
            names = list(_bound_by(statement))
            for name in names:
                self.bound.setdefault(name, []).append(statement)
            if not names or not isinstance(statement, BINDING):
                self.effects.append(statement)
                self.imports |= Reading(statement, self.package).imports

    def statements(self, attribute: str | None) -> list[ast.stmt]:
        """The effects, and what binds a name; `Class.method`: the method without the rest of its class."""
        if attribute is None:
            return [*self.effects, *(each for found in self.bound.values() for each in found)]
        outer, _, inner = attribute.partition(".")
        found = self.bound.get(outer, [])
        methods = [each for kind in found for each in getattr(kind, "body", ()) if getattr(each, "name", None) == inner]
        return [*self.effects, *(methods or found)]

    def beyond(self, attribute: str | None) -> Iterator[Name]:
        """What is reached with a name besides what its statements use: the packages around it, where it comes from."""
        parts = self.name.split(".")
        yield from (Name(".".join(parts[:length]), EFFECTS) for length in range(1, len(parts)))
        yield from (found for name, found in self.imports.items() if attribute is None or name.startswith(WHOLE))
        if attribute and attribute.partition(".")[0] not in self.bound:
            yield from self._elsewhere(attribute)

    def _elsewhere(self, attribute: str) -> Iterator[Name]:
        """Where a name that no statement binds is from: an import, a module in this package, a lazy `__getattr__`."""
        if attribute in self.imports:
            yield self.imports[attribute]
        elif _module(f"{self.name}.{attribute}") is not None:
            yield Name(f"{self.name}.{attribute}", None)
        elif "__getattr__" in self.bound:
            home = getattr(getattr(import_module(self.name), attribute, None), "__module__", None)
            yield from [Name(home, attribute)] if home else []

    def digest(self, statement: ast.stmt) -> str:
        """Of a statement, as it is executed."""
        return self._reading(statement).digest

    def uses(self, statement: ast.stmt) -> Iterator[Name]:
        """The names that a statement uses, of this module and of those that are imported."""
        reading = self._reading(statement)
        known = {**self.imports, **reading.imports}
        yield from (found for name, found in reading.imports.items() if name.startswith(WHOLE))
        for name, attribute in reading.names:
            if name in known:
                yield _part(known[name], attribute)
            elif name in self.bound:
                yield Name(self.name, name)

    def _reading(self, statement: ast.stmt) -> Reading:
        if statement not in self._read:
            self._read[statement] = Reading(statement, self.package)
        return self._read[statement]


class Reading:
    """What a walk over a statement finds: its digest, the names in it with what is asked of each, and its imports."""

    def __init__(self, statement: ast.stmt, package: str) -> None:
        self.names: set[tuple[str, str | None]] = set()
        self.imports: dict[str, Name] = {}
        self._package, self._text = package, list[str]()
        self._walk(statement)
        self.digest = _sha256(" ".join(self._text))

    def _walk(self, node: Any) -> None:
        if isinstance(node, list):
            self._text.append(f"[{len(node)}")
            for each in node:
                self._walk(each)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            self.names.add((node.value.id, node.attr))
            self._text.append(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.AST):
            if isinstance(node, ast.Name):
                self.names.add((node.id, None))
            elif isinstance(node, ast.Import | ast.ImportFrom):
                self.imports |= _imported(node, self._package)
            self._walk_fields(node)
        else:
            self._text.append(repr(node))

    def _walk_fields(self, node: ast.AST) -> None:
        self._text.append(type(node).__name__)
        for name in node._fields:
            value: Any = getattr(node, name, None)
            if name == "body" and isinstance(node, DOCUMENTED) and _is_text(value[0]):
                value = value[1:]
            silent = name in SILENT or (isinstance(node, ast.arg) and name == "annotation")
            if not silent and value is not None and value != []:  # a newer Python has more fields
                self._text.append(name)
                self._walk(value)


@cache
def _module(name: str) -> Module | None:
    """A module's source, read once; None where there is none."""
    try:
        spec = getattr(sys.modules.get(name), "__spec__", None) or find_spec(name)
        read = getattr(getattr(spec, "loader", None), "get_source", None)
        text = read(spec.name) if spec is not None and read is not None else None
    except (ImportError, ValueError):
        return None  # there is no such module, or it has no source
    if spec is None or text is None:
        return None
    return Module(spec.name, spec.name if spec.submodule_search_locations else spec.parent or "", ast.parse(text))


def _imported(statement: ast.Import | ast.ImportFrom, package: str) -> dict[str, Name]:
    """What an import binds, by name; under WHOLE and its name a module that is imported for all that it has."""
    found: dict[str, Name] = {}
    for each in statement.names:
        if isinstance(statement, ast.Import):
            plain = each.asname or ("." not in each.name and each.name)
            found[plain or WHOLE + each.name] = Name(each.name, None)
        else:
            base = resolve_name("." * statement.level + (statement.module or ""), package)
            whole = each.name == WHOLE
            found[WHOLE + base if whole else each.asname or each.name] = Name(base, None if whole else each.name)
    return found


def _part(name: Name, attribute: str | None) -> Name:
    """The attribute that is asked of an imported name, where that is a module; else the name."""
    if attribute is None:
        return name
    if name.attribute is None:
        return Name(name.module, attribute)
    home = _module(name.module)
    inner = f"{name.module}.{name.attribute}"
    if home is not None and name.attribute not in {*home.bound, *home.imports} and _module(inner) is not None:
        return Name(inner, attribute)
    return name


def _bound_by(statement: ast.stmt) -> Iterator[str]:
    """The names that a top-level statement binds or may bind, and some more inside of compound ones."""
    if isinstance(statement, DOCUMENTED):
        yield statement.name
    elif not isinstance(statement, ast.Expr):
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, DOCUMENTED):
                yield node.name


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring."""
    return isinstance(statement, ast.Expr) and isinstance(getattr(statement.value, "value", None), str)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
