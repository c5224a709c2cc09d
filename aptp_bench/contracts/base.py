"""What every plugin has: a name, settings, and a word on whether it can run here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, ValidationError, field_validator

from aptp_bench.core.documents import Frozen, problem_of, typed
from aptp_bench.core.files import at_home
from aptp_bench.errors import ConfigError


class PluginConfig(Frozen):
    """The settings of one plugin: frozen, unknown keys and numbers that are not finite refused, each field with its meaning."""

    model_config = ConfigDict(allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _at_home(cls, value: Any) -> Any:
        """Paths may begin with ~."""
        return at_home(value) if isinstance(value, Path) else value


class Plugin:
    """What every plugin has: a name, settings, and a word on whether it can run here."""

    name: ClassVar[str]
    Config: ClassVar[type[PluginConfig]] = PluginConfig

    def __init__(self, **settings: Any) -> None:
        try:
            self.config = typed(self.Config, settings)
        except ValidationError as err:
            raise ConfigError(_explain(self, err)) from err

    @classmethod
    def unavailable(cls) -> str | None:
        """Why this cannot run on this machine, with the command that fixes it; None if it can."""
        return None

    def missing(self) -> str | None:
        """The same with its settings, which may say where things lie."""
        return self.unavailable()

    @classmethod
    def summary(cls) -> str:
        """The first line of the class's docstring."""
        return (cls.__doc__ or "").strip().splitlines()[0] if cls.__doc__ else ""


def _explain(plugin: Plugin, err: ValidationError) -> str:
    key, what, got, unknown = problem_of(err)
    if unknown:
        known = ", ".join(type(plugin).Config.model_fields) or "none"
        return f"{plugin.name} has no option '{key}'; its options are: {known}"
    if not key:  # a rule of several options, which its words name
        return f"{plugin.name}: {what}"
    return f"{plugin.name}: option '{key}': {what} (got {got!r})"
