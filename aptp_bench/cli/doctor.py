"""aptp-bench doctor: what this machine can run, what is missing, and the command that fixes it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from aptp_bench.cli.finding import THIS_RUN, Check, Scope
from aptp_bench.cli.options import Json, print_json, set_option
from aptp_bench.errors import ConfigError

EPILOG = (
    "Exit code 0: everything that scale mini needs is here, or the run that is asked about; 1: something is missing. Example: "
    "aptp-bench doctor --scale paper --dataset coco --set dataset_config.root=/data/coco"
)
GIB = 1 << 30
DISK, MEMORY = 2, 4  # GiB that a run at scale mini wants free, and in all
PYTHON = (3, 10)
PROBED = ("models", "backbones", "datasets", "methods", "metrics")
DRIVER = Path("/dev/nvidiactl")
# about how many GB the published weights are
DOWNLOADS = {
    "audio-diffusion-256": 0.7, "ldm-celebahq": 1.3, "sd15": 4.3, "sd21": 5.2, "sd21-base": 5.2, "clip-vit-b-32": 0.6,
    "clip-vit-l-14-336": 1.7, "hps-v2.1": 2.0, "inception-2015": 0.1, "lpips-alex": 0.3, "pickscore-v1": 4.0, "vggish": 0.3,
}  # fmt: skip


def doctor(
    scale: Annotated[str | None, typer.Option(help="Of one run: mini, smoke or paper.")] = None,
    method: Annotated[str | None, typer.Option(help="Of one run: its method; default: aptp.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Of one run: its dataset; default: coco.")] = None,
    model: Annotated[str | None, typer.Option(help="Of one run: its model.")] = None,
    weights: Annotated[str | None, typer.Option(help="Of one run: the teacher's, as in run.")] = None,
    settings: Annotated[list[str] | None, set_option("Of one run: key=value, as in run.")] = None,
    whole: Annotated[bool, typer.Option("--all", help="Every fix in full.")] = False,
    as_json: Json = False,
) -> None:
    """What this machine can run, what is missing, and the command that fixes it.

    With any option of a run: what that run will lack, its own paths, weights and networks looked at.
    """
    asked = (scale, method, dataset, model, weights, settings)
    checks = [*machine(), *(plugins() if asked == (None,) * len(asked) else of_run(*asked))]
    ready = all(check.ok for check in checks if check.needed)
    if as_json:
        print_json({"ready": ready, "checks": [asdict(check) for check in checks]})
    else:
        from aptp_bench.cli.doctor_view import show_checks

        show_checks(checks, whole)
    raise typer.Exit(0 if ready else 1)


def machine() -> Iterator[Check]:
    """Python, PyTorch, the device, threads, memory, disk, the hub's cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    from aptp_bench.core import threads

    version = platform.python_version()
    yield Check("python", sys.version_info >= PYTHON, version, fix="install Python 3.10 or newer")
    yield Check("torch", True, metadata.version("torch"))
    yield Check("device", True, device())
    asked = os.environ.get("OMP_NUM_THREADS", "unset")
    yield Check("threads", True, f"{threads.processors()} (OMP_NUM_THREADS={asked})")
    memory = total_memory()
    if memory is not None:
        yield Check("memory", memory >= MEMORY * GIB, f"{memory / GIB:.1f} GiB", fix=f"use a machine with {MEMORY} GiB")
    free = shutil.disk_usage(Path.cwd()).free
    fix = f"free {DISK} GiB, or use --runs-dir elsewhere"
    yield Check("disk", free >= DISK * GIB, f"{free / GIB:.1f} GiB free here", fix=fix)
    there = "there" if Path(HF_HUB_CACHE).is_dir() else "not there yet"
    yield Check("hub cache", True, f"{HF_HUB_CACHE} ({there})", needed=False)


def device() -> str:
    """Where runs compute. torch, which takes seconds to load, is asked only where a GPU's driver is."""
    from aptp_bench.core import provenance

    if not DRIVER.exists():
        return f"{provenance.processor()} (cpu)"
    return provenance.device_name(provenance.device())


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
                yield Check(what, False, "cannot be imported", fix=str(err), scope="every scale")
                continue
            world = getattr(kind, "world", None)
            scope: Scope = "every scale" if world is None else "scale mini" if world == "mini" else "scale paper"
            needed = world == "mini" or (group == "methods" and plugin.provider == "aptp-bench")
            found, _, fix = (reason or "ready").partition("; ")
            size = DOWNLOADS.get(plugin.name) if reason else None
            yield Check(what, reason is None, found, needed, fix, scope, size)


def of_run(
    scale: str | None,
    method: str | None,
    dataset: str | None,
    model: str | None,
    weights: str | None,
    settings: list[str] | None,
) -> Iterator[Check]:
    """What one run wants: what it stops without is needed. Raises ConfigError, UnknownNameError, BudgetError."""
    from aptp_bench.harness import session
    from aptp_bench.harness.readiness import needs

    flags = {"model": model, "weights": weights}
    asked = session.resolved(method or "aptp", dataset or "coco", scale or "mini", settings or [], flags, False)
    for need in needs(asked[-1]):
        found, _, fix = (need.lacks or "ready").partition("; ")
        yield Check(need.what, need.lacks is None, found, need.stops, fix, THIS_RUN)


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
