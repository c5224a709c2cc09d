"""Plugins by name, found through entry points: the built-in ones and third-party ones in the same way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import get_annotations
from typing import Any

from aptp_bench.core.documents import meant
from aptp_bench.errors import ConfigError, UnknownNameError

PREFIX = "aptp_bench."
LISTED = ("methods", "metrics", "datasets", "models", "backbones")  # each has a command that lists it
GROUPS = (*LISTED, "routers")
CONTRACTS = {  # of each group the class that a plugin derives from; imported with the plugin, which needs it anyway
    "methods": ("contracts.method", "Method"),
    "metrics": ("contracts.metric", "Metric"),
    "datasets": ("contracts.dataset", "DatasetPlugin"),
    "models": ("contracts.model", "ModelPlugin"),
    "backbones": ("contracts.backbone", "BackbonePlugin"),
    "routers": ("models.mixture", "Router"),
}
ONE_OF = {  # facts on the class that are one of a few words: the contracts' Literals, at hand before they are imported
    "better": ("higher", "lower", "neither"),
    "on": ("dataset", "partiprompts"),
    "world": ("mini", "paper"),
    "holds": ("images", "sounds"),
}


@dataclass(frozen=True)
class Registration:
    """One registered name: what it is called, and which package brought it."""

    group: str
    name: str
    provider: str
    entry: EntryPoint

    @cached_property
    def packages(self) -> frozenset[str]:
        """Top-level names of the modules that the provider installs."""
        dist = self.entry.dist
        modules = [file.parts[0] for file in dist.files or () if file.suffix == ".py"] if dist is not None else []
        return frozenset(name.removesuffix(".py") for name in modules)

    def load(self) -> Any:
        """The registered class. Raises ConfigError if it cannot be imported, or is none that its group can use."""
        return self._kind

    @cached_property
    def _kind(self) -> Any:
        what = f"{self.group[:-1]} '{self.name}' of {self.provider}"
        try:
            kind = self.entry.load()
        except Exception as err:  # whatever a stranger's module does when it is imported: listings go on without it
            raise ConfigError(
                f"{what} cannot be imported ({type(err).__name__}: {' '.join(str(err).split())}); mend or reinstall it: "
                f"pip install --force-reinstall {self.provider}"
            ) from err
        if (wrong := self._wrong(kind)) is not None:
            raise ConfigError(f"{what} cannot be used: {wrong}")
        return kind

    def _wrong(self, kind: Any) -> str | None:
        """What is wrong with the class of a plugin, with the fix; None if nothing is."""
        module, base = CONTRACTS[self.group]
        contract = getattr(import_module(f"{PREFIX}{module}"), base)
        if not isinstance(kind, type) or not issubclass(kind, contract):
            return f"{getattr(kind, '__name__', repr(kind))} does not derive from aptp_bench's {base}; let it do so"
        if lacking := sorted(getattr(kind, "__abstractmethods__", ())):
            return f"{kind.__name__} has no {' and no '.join(lacking)}; write it"
        asked = dict.fromkeys(key for base in contract.__mro__ for key in get_annotations(base) if key != "name")
        if silent := [key for key in asked if not hasattr(kind, key)]:
            return f"{kind.__name__} does not say its {' and its '.join(silent)}; name each on the class"
        for key in asked.keys() & ONE_OF.keys():
            if (said := getattr(kind, key)) not in ONE_OF[key]:
                return f"{kind.__name__}.{key} is {said!r}; let it be one of {', '.join(ONE_OF[key])}"
        if getattr(kind, "name", None) != self.name:
            called = repr(getattr(kind, "name", None))
            return f"{kind.__name__}.name is {called}; let it be '{self.name}', as the entry point says"
        return None


@cache
def _installed() -> Any:
    """Entry points of every package: asked for once, for an answer reads a file of each of them."""
    return entry_points()


@cache
def plugins(group: str) -> dict[str, Registration]:
    """Every plugin of a group by name, ours first; a third party cannot take a name that is taken."""
    if group not in GROUPS:
        raise ConfigError(f"there is no plugin group '{group}'; groups are {', '.join(GROUPS)}")
    entries = _installed().select(group=PREFIX + group)
    # once for each package, for a name reads a file
    providers = {dist: dist.name if dist else "unknown" for dist in {entry.dist for entry in entries}}
    found = [Registration(group, e.name, providers[e.dist], e) for e in entries]
    first: dict[str, Registration] = {}
    for each in sorted(found, key=lambda each: (each.provider != "aptp-bench", each.provider, each.name)):
        first.setdefault(each.name, each)
    return dict(sorted(first.items()))


def get(group: str, name: str) -> Any:
    """The class registered as `name`. Raises UnknownNameError with the nearest names."""
    known = plugins(group)
    if name not in known:
        listed = f" (list them: aptp-bench {group})" if group in LISTED else ""
        raise UnknownNameError(f"unknown {group[:-1]} '{name}'; {meant(name, known)}{listed}")
    return known[name].load()
