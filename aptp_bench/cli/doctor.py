"""aptp-bench doctor: what this machine can run, what is missing, and the command that fixes it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from aptp_bench.cli.options import Json, print_json
from aptp_bench.errors import ConfigError

EPILOG = "Exit code 0: everything that scale mini needs is here; 1: something is missing."
GIB = 1 << 30
DISK, MEMORY = 2, 4  # GiB that a run at scale mini wants free, and in all
PYTHON = (3, 10)
PROBED = ("models", "backbones", "datasets", "methods", "metrics")


@dataclass(frozen=True)
class Check:
    """One finding. `needed`: a run at scale mini cannot do without it; `fix`: what to do where it is not ok."""

    what: str
    ok: bool
    found: str
    needed: bool = True
    fix: str = ""


def doctor(as_json: Json = False) -> None:
    """What this machine can run, what is missing, and the command that fixes it."""
    checks = [*machine(), *plugins()]
    ready = all(check.ok for check in checks if check.needed)
    if as_json:
        print_json({"ready": ready, "checks": [asdict(check) for check in checks]})
    else:
        show_checks(checks)
    raise typer.Exit(0 if ready else 1)


def show_checks(checks: list[Check]) -> None:
    """The findings on stdout; what only other scales need is marked so."""
    from rich.console import Console
    from rich.markup import escape

    from aptp_bench.cli.view import line, plain_table, titled

    console, table = Console(), plain_table(["", "what", "found"])
    for check in checks:
        mark = "[green]ok[/]" if check.ok else "[red]missing[/]" if check.needed else "[yellow]optional[/]"
        table.add_row(mark, check.what, escape(check.found))
    titled(console, "doctor", table)
    for check in checks:
        if not check.ok:
            line(console, f"{check.what}: {check.fix}")


def machine() -> Iterator[Check]:
    """Python, PyTorch, the device, threads, memory, disk, the hub's cache."""
    import torch
    from huggingface_hub.constants import HF_HUB_CACHE

    from aptp_bench.core import provenance, threads

    version = platform.python_version()
    yield Check("python", sys.version_info >= PYTHON, version, fix="install Python 3.10 or newer")
    yield Check("torch", True, torch.__version__)
    yield Check("device", True, provenance.device_name(provenance.device()))
    yield Check(
        "threads", True, f"{threads.processors()} (OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')})"
    )
    memory = total_memory()
    if memory is not None:
        yield Check("memory", memory >= MEMORY * GIB, f"{memory / GIB:.1f} GiB", fix=f"use a machine with {MEMORY} GiB")
    free = shutil.disk_usage(Path.cwd()).free
    yield Check(
        "disk",
        free >= DISK * GIB,
        f"{free / GIB:.1f} GiB free here",
        fix=f"free {DISK} GiB, or use --runs-dir elsewhere",
    )
    yield Check(
        "hub cache",
        True,
        f"{HF_HUB_CACHE} ({'there' if Path(HF_HUB_CACHE).is_dir() else 'not there yet'})",
        needed=False,
    )


def plugins() -> Iterator[Check]:
    """Every registered model, backbone, dataset, method and metric: whether it can run, else why, and what fixes it."""
    from aptp_bench import registry

    for group in PROBED:
        for plugin in registry.plugins(group).values():
            what = f"{group[:-1]} {plugin.name}"
            try:
                kind = plugin.load()
                reason = kind.unavailable()
            except ConfigError as err:
                yield Check(what, False, "cannot be imported", fix=str(err))
                continue
            needed = getattr(kind, "world", "paper") == "mini" or (
                group == "methods" and plugin.provider == "aptp-bench"
            )
            found, _, fix = (reason or "ready").partition("; ")
            yield Check(what, reason is None, found, needed, fix)


def total_memory() -> int | None:
    """Bytes of memory this process may use, its container's limit included; None where the system does not say."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        return min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8")))
    except (OSError, ValueError):  # no container, or no limit
        return memory
