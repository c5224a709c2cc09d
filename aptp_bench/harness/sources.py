"""The source behind the stages of a run: what a stage's key holds of the code that makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from aptp_bench import registry
from aptp_bench.core.source import source_digest


def source_of(*functions: Callable[..., Any], registered: Iterable[tuple[str, str]] = ()) -> str:
    """A digest of the source that functions and plugins reach. registered: (group, name) of the plugins.

    Of a third party's plugin all packages that its distribution installs are searched.
    """
    plugins = [registry.plugins(group)[name] for group, name in registered]
    packages = frozenset[str]().union(*(plugin.packages for plugin in plugins))
    return source_digest(*functions, *(plugin.load() for plugin in plugins), packages=packages)
