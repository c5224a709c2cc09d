"""Ctrl-C: heard from the beginning, also while modules are imported. What is imported here takes no time."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

STOPPED, STOPPED_LINE = 130, "stopped; run the same command to go on"
IMPORTS = "<frozen importlib._bootstrap>"  # the file that Python's frames of an import are from


def heard() -> None:
    """Let ctrl-C end the process at once while modules are imported, and be a KeyboardInterrupt otherwise.

    Modules that are half imported turn a KeyboardInterrupt into errors of their own, or hide it.
    """
    own = threading.current_thread() is threading.main_thread()  # no other may set handlers
    if own and signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background job ignores it
        signal.signal(signal.SIGINT, _interrupted)


def let_go() -> None:
    """Let ctrl-C end the process without a word, as all is done: what Python takes down at its end says nothing of use."""
    if signal.getsignal(signal.SIGINT) is _interrupted:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _interrupted(number: int, frame: FrameType | None) -> None:
    while frame is not None and frame.f_code.co_filename != IMPORTS:
        frame = frame.f_back
    if frame is None:
        raise KeyboardInterrupt
    with suppress(Exception):
        sys.stdout.flush()
        os.write(2, f"{STOPPED_LINE}\n".encode())
    os._exit(STOPPED)
