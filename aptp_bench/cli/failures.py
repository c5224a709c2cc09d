"""Exit codes and the one line that a user sees when something is wrong: 2 for what they can fix, 130 for ctrl-C.

141 where nobody reads on (`| head -1`): what a shell calls a process that a closed pipe ended.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

from aptp_bench.cli.interrupts import STOPPED, STOPPED_LINE
from aptp_bench.core.distributed import HEARD, Parted
from aptp_bench.errors import AptpBenchError

BUG, MEND, UNREAD = 1, 2, 141
GONE = "the folder that this command was started in is gone; go to one that is there"
_OUTSIDE = "ENOSPC EDQUOT EROFS EACCES EPERM ENAMETOOLONG EFBIG EIO"  # the user's to mend
OUTSIDE = {getattr(errno, name) for name in _OUTSIDE.split()}


def outcome(command: Callable[[], Any]) -> int:
    """Run a command and turn its end into an exit code. Any other error is a bug and keeps its traceback."""
    try:
        code = command()
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as err:  # typer and rich exit where a pipe is closed
        if not isinstance(err, BrokenPipeError) and not isinstance(err.__context__, BrokenPipeError):
            raise
        _drop(sys.stdout)
        return UNREAD
    except KeyboardInterrupt:
        return _say(STOPPED_LINE, STOPPED)
    except Exception as err:
        return _failed(err)
    except Parted as err:
        return _failed(err.__cause__) if isinstance(err.__cause__, Exception) else MEND
    if code == STOPPED:  # typer catches ctrl-C itself
        return _say(STOPPED_LINE, STOPPED)
    return code if isinstance(code, int) else 0


def _failed(err: Exception) -> int:
    """The exit code of a failure, said in a line unless another process says it; a bug is raised, and keeps its traceback."""
    line, heard = _line(err), hasattr(err, HEARD)
    if line is None and not heard:
        raise err
    return (BUG if line is None else MEND) if heard else _say(f"error: {line}", MEND)


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


def _line(err: Exception) -> str | None:
    """What to tell the user; None for a bug."""
    if isinstance(err, AptpBenchError):
        return str(err)
    return _outside(err) if isinstance(err, OSError) else _full(err) or usage_line(err)


def _full(err: Exception) -> str | None:
    """What to do where there was not enough memory; None for other errors. torch need not be loaded to tell its own."""
    kinds = {kind.__name__ for kind in type(err).__mro__}
    if kinds.isdisjoint({"MemoryError", "OutOfMemoryError"}) and "can't allocate memory" not in str(err):
        return None
    asked = re.search(r"allocate ([\d.]+ \w+)", str(err))
    smaller = "run: --set sampling.batch=1 --set finetune.accumulate=auto, generate: --batch 1"
    return f"there is not enough memory{f' ({asked[1]} more)' if asked else ''}; take less at once ({smaller})"


def _outside(err: OSError) -> str | None:
    """What the user has to mend outside of the command; None where it is a bug of ours."""
    if err.errno == errno.ENOENT and not somewhere():
        return GONE
    if err.errno not in OUTSIDE:
        return None
    if err.filename is None:  # perhaps of stdout itself
        _drop(sys.stdout)
    return f"{err.filename or 'a file'}: {err.strerror}; mend that and run the same command again"


def somewhere() -> bool:
    """Whether the folder that the command was started in is still there."""
    try:
        return bool(os.getcwd())
    except OSError:
        return False


def _say(line: str, code: int) -> int:
    from aptp_bench.core.texts import visible

    try:
        sys.stderr.write(visible(" ".join(line.split())) + "\n")
        sys.stderr.flush()
    except OSError:  # the code says it still
        _drop(sys.stderr)
    return code


def _drop(stream: TextIO) -> None:
    """Let go what a stream cannot write: else Python tries once more at its end, and makes the exit code 120."""
    with suppress(OSError, ValueError):
        stream.flush()
        return
    with suppress(OSError, ValueError):  # none has a number in a notebook
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
