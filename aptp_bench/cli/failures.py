"""Exit codes and the one line that a user sees when something is wrong: 2 for what they can fix, 130 for ctrl-C."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Any

from aptp_bench.errors import AptpBenchError

MEND, STOPPED = 2, 130
OUTSIDE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}  # the user's to mend
STOPPED_LINE = "stopped; run the same command to go on"


def outcome(command: Callable[[], Any]) -> int:
    """Run a command and turn its end into an exit code. Any other error is a bug and keeps its traceback."""
    try:
        code = command()
    except AptpBenchError as err:
        return _say(f"error: {err}", MEND)
    except KeyboardInterrupt:
        return _say(STOPPED_LINE, STOPPED)
    except OSError as err:
        if err.errno not in OUTSIDE:
            raise
        return _say(
            f"error: {err.filename or 'a file'}: {err.strerror}; mend that and run the same command again", MEND
        )
    except Exception as err:
        line = usage_line(err)
        if line is None:
            raise
        return _say(f"error: {line}", MEND)
    if code == STOPPED:  # typer catches ctrl-C itself
        return _say(STOPPED_LINE, STOPPED)
    return code if isinstance(code, int) else 0


def usage_line(err: Exception) -> str | None:
    """What typer's usage errors say, in one line with the help to look at; None for other errors.

    Told by what they can do: typer brings its own copy of click's classes or uses click's, depending on its version.
    """
    speak = getattr(err, "format_message", None)
    if speak is None:
        return "aborted" if type(err).__name__ == "Abort" else None
    context = getattr(err, "ctx", None)
    path = context.command_path if context is not None else "aptp-bench"
    return " ".join(str(speak()).split()).rstrip(".") + f" (see: {path} --help)"


def _say(line: str, code: int) -> int:
    sys.stderr.write(" ".join(line.split()) + "\n")
    return code
