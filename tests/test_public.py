"""The public surface: light to import, complete, and the same as the command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import aptp_bench
from aptp_bench.errors import ConfigError
from aptp_bench.harness.run_folder import RunFolder

LIGHT = """
import sys
import aptp_bench
assert set(aptp_bench.__all__) <= set(dir(aptp_bench))
print(*sys.modules)
"""
HEAVY = {"torch", "numpy", "diffusers", "matplotlib", "pydantic", "typer"}
SMALL = ["sizes.val=2", "sizes.partiprompts=0", "resolution.measure=8", "sampling.steps=1", "metrics=[macs]"]


def test_importing_it_imports_little_else() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "aptp_bench" in done.stdout.split() and not HEAVY & set(done.stdout.split())


def test_every_public_name_is_there_with_a_docstring() -> None:
    for name in set(aptp_bench.__all__) - {"__version__"}:
        assert getattr(aptp_bench, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'walk'"):
        aptp_bench.walk  # noqa: B018


def test_run_is_the_command_without_a_word(tiny_model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    record = aptp_bench.run("dense", scale="smoke", settings=SMALL, runs_dir=tmp_path, model=tiny_model, seed=2)
    seen = capfd.readouterr()
    assert (seen.out, seen.err) == ("", "")
    assert record.macs["exact"].ratio == 1.0 and record.what.seed == 2
    (folder,) = (path.parent for path in tmp_path.glob("*/run.json"))
    assert RunFolder.load(folder).record == record
    assert aptp_bench.run("dense", scale="smoke", settings=SMALL, runs_dir=tmp_path, model=tiny_model, seed=2) == record


def test_profile_needs_no_weights(tiny_model: str) -> None:
    record = aptp_bench.profile(tiny_model, on=["A100"])
    assert record.model == tiny_model and record.timings == [] and len(record.predicted) == 2
    assert record.how.command == f"aptp_bench.profile({tiny_model!r}, on=['A100'])"


def test_wrong_words_are_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="a run has no flag 'sed'; did you mean 'seed'"):
        aptp_bench.run("dense", sed=1)
    with pytest.raises(ConfigError, match=r"profile: modl: .* it takes model, method"):
        aptp_bench.profile(modl="mini")
