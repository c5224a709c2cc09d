"""What the doctor found, scale by scale: what is ready in few lines, what is missing with a short fix."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import get_args

from rich.console import Console

from aptp_bench.cli.finding import MACHINE, Check, Scope
from aptp_bench.cli.listing_view import said
from aptp_bench.cli.view import line, window

INDENT = " " * 12


def show_checks(checks: Sequence[Check], whole: bool = False) -> None:
    """The findings on stdout; what only other scales need is called optional. whole: every fix in full."""
    console = window()
    for scope in get_args(Scope):
        own = [check for check in checks if check.scope == scope]
        if own:
            console.print(f"\n{scope}", style="bold", highlight=False)
            _show_ready(console, [check for check in own if check.ok], apart=scope == MACHINE)
            for check in own:
                if not check.ok:
                    _show_missing(console, check, whole)
    total = sum(check.download_gb or 0.0 for check in checks if not check.ok)
    if total and not whole:
        console.print()
        line(console, f"All weights that are missing: about {total:.0f} GB. Nothing is fetched unless you ask:")
        line(console, "  export APTP_BENCH_ALLOW_DOWNLOAD=1   what the hub has as it is, when needed")
        line(console, "  aptp-bench doctor --all              the command for each of them")


def _show_ready(console: Console, fine: Sequence[Check], apart: bool) -> None:
    """apart: a line for each, with what was found; else one for each kind of plugin."""
    if apart:
        for check in fine:
            said(console, f"  ok        {check.what}: {check.found}", INDENT)
        return
    for kind, found in groupby(fine, key=lambda check: check.what.partition(" ")[0]):
        names = ", ".join(check.what.partition(" ")[2] for check in found)
        said(console, f"  ok        {kind.removesuffix('s')}s: {names}", INDENT)


def _show_missing(console: Console, check: Check, whole: bool) -> None:
    mark = "missing " if check.needed else "optional"
    if check.download_gb and not whole:
        said(console, f"  {mark}  {check.what}: about {check.download_gb:g} GB to fetch", INDENT)
        return
    said(console, f"  {mark}  {check.what}: {check.found}", INDENT)
    if check.fix:  # unbroken, so that a command in it can be copied
        line(console, f"{INDENT}{check.what}: {check.fix}" if whole else f"{INDENT}{check.fix}")
