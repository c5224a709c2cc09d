"""How a number can be had again: versions, commit, device, threads, and digests of weights and data."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from aptp_bench.errors import ConfigError
from aptp_bench.records import Provenance

if TYPE_CHECKING:
    import torch

PACKAGES = (
    "aptp-bench",
    "torch",
    "diffusers",
    "transformers",
    "accelerate",
    "datasets",
    "numpy",
    "pillow",
    "torch-pruning",
)
# options of commands that say where to, followed by a path
OUTPUTS = ("--out", "--results-dir", "--runs-dir", "--plot", "--page")


def provenance(
    command: str,
    device: torch.device,
    seconds: Mapping[str, float],
    digests: Mapping[str, str],
    source: Mapping[str, str] = MappingProxyType({}),
    together: tuple[Sequence[str], str] = ((), ""),
    date: str = "",
) -> Provenance:
    """What is known about this process and machine, with the stages' times and the digests given.

    together: the devices of all processes, and the precision they computed in; date: on which the last stage was done.
    """
    import torch

    commit, dirty = checkout()
    return Provenance(
        command=command,
        versions=versions(),
        commit=commit,
        dirty=dirty,
        device=device_name(device),
        threads=torch.get_num_threads(),
        processes=list(together[0]),
        precision=together[1],
        seconds=dict(seconds),
        digests=dict(digests),
        source=dict(source),
        date=date,
    )


def command_line(program: Sequence[str], words: Sequence[str]) -> str:
    """The line that measures the same again, without where its record and plot go: that decides no number."""
    kept, skip = [], False
    for word in words:
        name, equals, _ = word.partition("=")
        if not skip and name not in OUTPUTS:
            kept.append(word)
        skip = not skip and name in OUTPUTS and not equals
    return shlex.join([*program, *kept])


def versions() -> dict[str, str]:
    """Python's version and that of every package that decides numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def checkout() -> tuple[str | None, bool | None]:
    """(commit, whether tracked files differ from it) of the source this was installed from; None, None without one."""
    found = ((dist, dist.read_text("direct_url.json")) for dist in metadata.distributions(name="aptp-bench"))
    dist, said = next((each for each in found if each[1]), (None, None))
    origin = json.loads(said or "{}")
    if "vcs_info" in origin:
        return origin["vcs_info"].get("commit_id"), False
    source = Path(unquote(urlparse(origin.get("url", "")).path))
    commit = _git(source, "rev-parse", "HEAD") if source.is_absolute() else None
    if commit is None or dist is None or not _is_of(dist, source):
        return None, None
    # records are what a run writes: they make no source dirty
    changes = _git(source, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!results")
    return commit, None if changes is None else bool(changes)


def _is_of(dist: metadata.Distribution, source: Path) -> bool:
    """Whether modules that were copied from a clone are the clone's as they are now: it may have gone on since."""
    copied = [file for file in dist.files or () if file.suffix == ".py" and file.parts[0] == "aptp_bench"]

    def places(file: Any) -> list[Path]:  # as package-dir in pyproject.toml has them
        return [
            source.joinpath(*file.parts),
            *(each.joinpath(*file.parts[1:]) for each in (source, source / "results")),
        ]

    return all(any(_same(dist.locate_file(file), place) for place in places(file)) for file in copied)


def _same(one: Any, other: Path) -> bool:
    try:
        return bool(one.read_bytes() == other.read_bytes())
    except OSError:
        return False


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def device(name: str = "auto") -> torch.device:
    """The device to compute on. "auto": this process's GPU, or the CPU. Raises ConfigError for one that is not there."""
    import torch

    if name == "auto":
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
    try:
        float(torch.zeros(1, device=name))
    except (RuntimeError, AssertionError, NotImplementedError) as err:
        reason = next(iter(str(err).splitlines()), type(err).__name__)
        raise ConfigError(f"device '{name}' cannot be used here ({reason}); use --device cpu") from err
    found = torch.device(name)
    if found.type != "cpu":
        return found
    if found.index:  # torch takes any number, readers of weights do not
        raise ConfigError(f"device '{name}' cannot be used here (there is one CPU); use --device cpu")
    return torch.device("cpu")


def device_name(device: torch.device) -> str:
    """A GPU's product name, or the processor's."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return f"{processor()} ({device.type})"


def processor() -> str:
    """The processor's product name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
