"""aptp-bench methods, metrics, datasets, models, backbones: who provides what, and why something cannot run here."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import typer

from aptp_bench.cli.options import Json, print_json
from aptp_bench.errors import ConfigError
from aptp_bench.registry import LISTED

if TYPE_CHECKING:
    from aptp_bench.registry import Registration

CLASS_DATA = ("unit", "better", "on", "backbone", "world", "captions_only")


def register(app: typer.Typer) -> None:
    """Add a command for each of these groups."""
    for group in LISTED:
        app.command(name=group, help=f"The {group} at hand; with a name, its options.")(_command(group))


def _command(group: str) -> Callable[..., None]:
    def listing(
        name: Annotated[str | None, typer.Argument(help="Show this one and its options.")] = None,
        whole: Annotated[bool, typer.Option("--all", help="Say all there is to say of every option.")] = False,
        as_json: Json = False,
    ) -> None:
        from aptp_bench import registry

        if name is not None:
            registry.get(group, name)  # an unknown name is refused with a near one
        rows = [facts(p) for p in registry.plugins(group).values() if name in (None, p.name)]
        if as_json:
            print_json(rows)
        else:
            from aptp_bench.cli.listing_view import show_listing, show_plugin

            show_listing(group, rows) if name is None else show_plugin(rows[0], whole)

    return listing


def facts(plugin: Registration) -> dict[str, Any]:
    """A plugin's name, package, summary, paper, options, why it cannot run here, and the data on its class."""
    row: dict[str, Any] = {"name": plugin.name, "package": plugin.provider}
    try:
        kind = plugin.load()
    except ConfigError as err:
        return row | {"summary": "", "paper": "", "unavailable": str(err), "options": []}
    row |= {"summary": kind.summary(), "paper": getattr(kind, "paper", ""), "unavailable": kind.unavailable()}
    more = {key: getattr(kind, key) for key in CLASS_DATA if hasattr(kind, key)}
    return row | {"options": options(kind)} | more


def options(kind: Any) -> list[dict[str, Any]]:
    """A plugin's options with type, default and meaning; heading: of the options from here on, where a module has some."""
    rows, headings = [], getattr(import_module(kind.Config.__module__), "HEADINGS", {})
    for name, field in kind.Config.model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        plain = default if isinstance(default, (str, int, float, bool, list, type(None))) else str(default)
        shown = _typename(field.annotation)
        rows.append({"name": name, "type": shown, "default": plain, "help": field.description or ""})
        rows[-1]["heading"] = headings.get(name, "")
    return rows


def _typename(kind: Any) -> str:
    """A type as people write it: the parts of a union by themselves, without what a number must keep to."""
    if get_origin(kind) is Annotated:
        return _typename(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return " | ".join(map(_typename, get_args(kind)))
    whole = kind if getattr(kind, "__args__", None) else None
    return str(whole or getattr(kind, "__name__", kind)).replace("typing.", "").replace("NoneType", "None")
