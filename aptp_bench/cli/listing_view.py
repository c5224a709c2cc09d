"""What there is, as lists on stdout that keep to the width of the window and break no word."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from aptp_bench.cli.view import line, titled, window
from aptp_bench.reporting.worlds import SAID

if TYPE_CHECKING:
    from aptp_bench.reporting.paper_figures.status import Status

OURS = "aptp-bench"
DEFAULT = 12  # characters of a default in a list of options
MEANING = 20  # and at least so many of what it means
COLOURS = {"ready": "green", "needs": "yellow", "cannot": "dim"}


def show_listing(group: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Plugins of a group, and below them why some cannot run here."""
    console, table = window(), _open_table("name", "what it is", "here")
    for row in rows:
        state = "[green]ready[/]" if row["unavailable"] is None else "[yellow]no[/]"
        whose = "" if row["package"] == OURS else f" ({row['package']})"
        table.add_row(row["name"], escape(row["summary"] + whose), state)
    titled(console, f"{group}; one with its options and paper: aptp-bench {group} NAME", table)
    for row in rows:
        if row["unavailable"] is not None:
            said(console, f"{row['name']} cannot run here: {row['unavailable']}")


def show_statuses(found: Sequence[Status], world: str) -> None:
    """The papers' figures and tables, a line each, and below them what makes the data of those that are not ready."""
    console, table = window(), _open_table("id", "what it shows", "state")
    for each in found:
        name = f"{each.id}" if each.kind == "figure" else f"{each.id} (table)"
        table.add_row(name, escape(each.title), f"[{COLOURS[each.state]}]{each.state}[/]")
    titled(console, f"figures and tables of the papers; {SAID[world]}", table)
    for each in found:
        if each.state == "needs":
            line(console, f"{each.kind} {each.id}: {each.command}")
        elif each.state == "cannot":
            said(console, f"{each.kind} {each.id} cannot be made: {each.why}")
    line(console, ", ".join(f"{sum(each.state == state for each in found)} {state}" for state in COLOURS))


def show_plugin(row: Mapping[str, Any], whole: bool) -> None:
    """One plugin with its options: a line each, or, if `whole`, with type and all that is to be said."""
    console = window()
    said(console, f"{row['name']} ({row['package']}): {row['summary']}")
    for key in ("paper", "unavailable"):
        if row[key]:
            said(console, f"{key}: {row[key]}")
    if not row["options"]:
        line(console, "no options")
        return
    line(console, f"options: --set name=value{'' if whole else '; all that is to be said of them: --all'}")
    for option in row["options"]:
        if option["heading"]:
            console.print(f"\n{option['heading']}", style="bold", highlight=False, markup=False)
        for text in _whole(option, console.width) if whole else _brief(option, row["options"], console.width):
            line(console, text)


def _brief(option: Mapping[str, Any], among: Sequence[Mapping[str, Any]], width: int) -> Iterator[str]:
    """Name, default, and what it means as far as a line goes."""
    names = max(len(each["name"]) for each in among)
    default = textwrap.shorten(str(option["default"]), DEFAULT, placeholder="…")
    meaning = textwrap.shorten(option["help"], max(width - names - DEFAULT - 6, MEANING), placeholder=" …")
    yield f"  {option['name']:<{names}}  {default:<{DEFAULT}}  {meaning}"


def _whole(option: Mapping[str, Any], width: int) -> Iterator[str]:
    yield f"  {option['name']} = {option['default']}  ({option['type']})"
    yield from textwrap.wrap(option["help"], width, initial_indent=" " * 6, subsequent_indent=" " * 6, **WHOLE_WORDS)


WHOLE_WORDS: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}


def said(console: Console, text: str, indent: str = "  ") -> None:
    """Words folded at the window's width, later lines indented; a path in them stays whole."""
    for each in textwrap.wrap(text, console.width, subsequent_indent=indent, **WHOLE_WORDS):
        line(console, each)


def _open_table(first: str, middle: str, last: str) -> Table:
    """Two narrow columns, which are never folded, and a wide one between them."""
    table = Table(padding=(0, 1), box=None)
    table.add_column(first, no_wrap=True)
    table.add_column(middle, ratio=1)
    table.add_column(last, no_wrap=True)
    return table
