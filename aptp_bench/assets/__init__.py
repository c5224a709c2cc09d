"""The embedded mini world's weights, all trained by `benchmarks/mini_world`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from aptp_bench.core.files import sha256_of
from aptp_bench.errors import WeightsError

ROOT = Path(__file__).parent
REBUILD = "python -m aptp_bench.benchmarks.mini_world"


def path(name: str) -> Path:
    """The folder of one embedded model. Raises WeightsError if it is not there."""
    folder = ROOT / name
    if not any(folder.glob("**/*.safetensors")):
        raise WeightsError(f"the embedded model '{name}' has no weights in {folder}; reinstall, or train it: {REBUILD}")
    return folder


def digest(folder: Path) -> str:
    """sha256 over the names and contents of a folder's files, in sorted order."""
    whole = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        whole.update(file.relative_to(folder).as_posix().encode())
        whole.update(bytes.fromhex(sha256_of(file)))
    return whole.hexdigest()
