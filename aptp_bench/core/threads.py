"""Threads on a CPU: how many, and how long one that waits for the others spins before it sleeps."""

from __future__ import annotations

import os
from pathlib import Path

from aptp_bench.errors import ConfigError

SPINS = "10000"
MOST = 4_096  # threads that anyone means
CHOSEN = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def spin_briefly() -> None:
    """Let waiting threads of libgomp sleep soon, unless the user has chosen; call before torch is loaded.

    By default they spin for milliseconds at every barrier. Beside one busy process that made a training step ten times as
    long, since the thread that is waited for does not get the processor that the others burn.
    """
    if not any(name in os.environ for name in CHOSEN):
        os.environ["GOMP_SPINCOUNT"] = SPINS


def use_threads() -> int:
    """Let torch use the processors this process may use, or OMP_NUM_THREADS where it is set; how many these are.

    Of a list, one number a level of nesting, the first counts. Raises ConfigError for what is no number of threads.
    """
    import torch

    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if asked and not (asked.isdecimal() and 0 < int(asked) <= MOST):
        raise ConfigError(f"OMP_NUM_THREADS={asked} is no number of threads; set 1 or more, or unset it")
    threads = int(asked) if asked else processors()
    torch.set_num_threads(threads)
    return threads


def processors() -> int:
    """Processors this process may use: its affinity, and the quota of its container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
        count = min(count, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass  # no container, or no quota
    return count
