"""What a job needs beside a bare image, as wheels in one folder: python -m aptp_bench.benchmarks.slot.wheels speed --out DIR

The image is taken to hold torch and what commonly comes with it (IMAGE), for Python 3.12 on Linux x86-64, and no way to
fetch anything. There: pip install --no-index --no-deps --target SITE DIR/*.whl, and put SITE on PYTHONPATH.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from aptp_bench.benchmarks.slot.__main__ import Name
from aptp_bench.cli.failures import outcome
from aptp_bench.core.files import check_writable
from aptp_bench.errors import DataError

IMAGE = (
    "accelerate", "aiohttp", "click", "einops", "filelock", "fsspec", "huggingface_hub", "httpx", "jinja2", "matplotlib", "numpy",
    "packaging", "pandas", "pillow", "psutil", "pyarrow", "pyyaml", "regex", "requests", "rich", "safetensors", "scikit-learn",
    "scipy", "sentence-transformers", "sympy", "tokenizers", "torch", "torchmetrics", "torchvision", "tqdm",
    "transformers", "typer", "typing_extensions", "xxhash",
)  # fmt: skip
EVERY_JOB = (
    "annotated-types",
    "diffusers",
    "importlib_metadata",
    "pydantic",
    "pydantic_core",
    "typing-inspection",
    "zipp",
)
BESIDE = {Name.matrix: ("datasets", "dill", "multiprocess", "torch-pruning")}
PYTHON, PLATFORMS = "3.12", ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
LARGEST = 60 << 20  # bytes of the folder


def needs(name: Name) -> tuple[str, ...]:
    """The distributions that a job imports and the image lacks."""
    return (*EVERY_JOB, *BESIDE.get(name, ()))


def collect(
    name: Annotated[Name, typer.Argument(metavar="JOB", help="The job that will be done there.")],
    out: Annotated[Path, typer.Option(help="The folder that gets the wheels; it is new, or holds wheels only.")],
    suite: Annotated[
        bool, typer.Option(help="The suite's own wheel too; not needed where its checkout travels.")
    ] = True,
) -> None:
    """Fetch wheels in the versions that are installed here, and build the suite's own."""
    check_writable(out, "--out")
    out.mkdir(parents=True, exist_ok=True)
    if odd := next((each for each in out.iterdir() if each.suffix != ".whl"), None):
        raise DataError(f"{out} holds {odd.name}, which is no wheel; name another folder")
    platforms = [word for each in PLATFORMS for word in ("--platform", each)]
    pinned = [f"{each}=={version(each)}" for each in needs(name)]
    only = ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp", *platforms]
    with tempfile.TemporaryDirectory(prefix="aptp-bench-", ignore_cleanup_errors=True) as scratch:
        _pip("download", "--no-deps", *only, "--dest", scratch, *pinned)
        if suite:
            _pip("wheel", "--no-deps", "--wheel-dir", scratch, str(_checkout(Path(scratch))))
        made = list(Path(scratch).glob("*.whl"))
        size = sum(path.stat().st_size for path in made)
        if size > LARGEST:
            raise DataError(f"the wheels of {name.value} take {size >> 20} MiB, more than {LARGEST >> 20}; carry fewer")
        for old in out.glob("*.whl"):
            old.unlink()
        for path in made:
            shutil.move(path, out / path.name)
    typer.echo(f"{len(made)} wheels, {size >> 20} MiB: {out}")


def _checkout(scratch: Path) -> Path:
    """A copy of the checkout this module is part of, so that building leaves nothing behind. Raises DataError."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file():
        raise DataError("the suite is installed without its checkout; run this from a clone: pip install -e .")
    leave = shutil.ignore_patterns(".*", "runs", "results", "build", "*.egg-info", "tests", "__pycache__")
    shutil.copytree(root, scratch / "checkout", ignore=leave)
    shutil.copytree(root / "results" / "reference", scratch / "checkout" / "results" / "reference")
    return scratch / "checkout"


def _pip(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", "-q", *words], capture_output=True, text=True)
    if done.returncode:
        why = next((line for line in reversed(done.stderr.splitlines()) if line.startswith("ERROR")), "no reason given")
        raise DataError(f"pip {words[0]} failed ({why}); check the network and run again")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(collect)
    sys.exit(outcome(lambda: app(standalone_mode=False)))
