"""The command line: it starts here, in what is imported in no time, so that ctrl-C is heard from the beginning."""

from __future__ import annotations

import gc
import io
import os
import sys
from typing import TYPE_CHECKING, Any

from aptp_bench.cli import interrupts

if TYPE_CHECKING:
    from aptp_bench.cli.commands import app

__all__ = ["app", "main"]

GARBAGE = 50_000  # new objects before Python looks for circles among them: of 700, its default, a listing makes hundreds of times as many


def main() -> None:
    """The console script. A letter that the terminal's encoding lacks is written as "?", and never ends a run."""
    interrupts.heard()
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    gc.set_threshold(GARBAGE)
    os.environ["MPLBACKEND"] = "agg"  # commands draw into files alone; a window's, or a misspelt one, ends them
    from aptp_bench.cli.commands import app
    from aptp_bench.cli.failures import outcome
    from aptp_bench.core.distributed import leave

    code = outcome(lambda: app(standalone_mode=False))
    if code == 0:
        leave()
    interrupts.let_go()
    gc.freeze()  # what is left goes with the process: not looked through once more
    sys.exit(code)


def _open_streams() -> None:
    """Put /dev/null where a stream is closed (2>&-): else the next file that is opened takes its place, and its text."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            opened = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115 (to the end)
            setattr(sys, name, opened)


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from aptp_bench.cli.commands import app

    return app
