"""SIGKILL at three places of a run; the same command goes on and ends with what an unbroken run ends with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CLI = [sys.executable, "-c", "from aptp_bench.cli import main; main()"]
SMALL = [
    "sizes.train=48", "sizes.val=8", "sizes.partiprompts=4", "sampling.steps=2", "sampling.batch=2", "experts=2",
    "warmup_steps=2", "joint_steps=8", "batch=8", "checkpoint_every=1", "align_steps=5",
    "finetune.steps=12", "finetune.batch=8", "finetune.checkpoint_every=1", "metrics=[macs,parameters]",
]  # fmt: skip
PATIENCE = 120.0  # seconds until a run must have come to the place where it is killed


def command(folder: Path, encoder: Path) -> list[str]:
    words = [
        "run",
        "--method",
        "aptp",
        "--dataset",
        "coco",
        "--scale",
        "smoke",
        "--weights",
        "random",
        "--no-reference",
    ]
    words += ["--runs-dir", str(folder / "runs"), "--results-dir", str(folder / "results"), "--device", "cpu"]
    for setting in (*SMALL, f"encoder={encoder}"):
        words += ["--set", setting]
    return [*CLI, *words]


def kill_when(there: Callable[[], bool], words: list[str]) -> None:
    """Run a command and SIGKILL it as soon as `there()`. Fails if it ends before that."""
    process = start(words)
    until = time.monotonic() + PATIENCE
    try:
        while not there():
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                pytest.fail(f"the run was not caught in time:\n{process.communicate()[1]}")
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    finally:
        process.communicate()
    assert process.returncode == -signal.SIGKILL


def start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    errors = process.communicate(timeout=3 * PATIENCE)[1]
    assert process.returncode == 0, errors


def partial(folder: Path, stage: str, pattern: str) -> list[Path]:
    return list((folder / "runs").glob(f"{stage}-[0-9a-f]*.partial/{pattern}"))


def outcome(folder: Path) -> dict[str, Any]:
    (path,) = (folder / "results" / "records").glob("*.json")
    record = json.loads(path.read_text())
    return {key: value for key, value in record.items() if key != "how"}


def files(folder: Path, stage: str) -> dict[str, str]:
    """Digest of every file of a finished stage, its logs' times left out."""
    (manifest,) = (folder / "runs").glob(f"{stage}-[0-9a-f]*/manifest.json")
    return {
        name: digest
        for name, digest in json.loads(manifest.read_text())["files"].items()
        if not name.startswith("work/")
    }


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_run_killed_at_three_places_ends_as_an_unbroken_one(tmp_path, build_encoder):
    encoder = build_encoder(tmp_path / "encoder")
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    unbroken = start(command(whole, encoder))  # beside the others
    try:
        kill_when(lambda: bool(partial(broken, "prune", "work/**/state.safetensors")), command(broken, encoder))
        assert not list((broken / "runs").glob("prune-*/manifest.json"))
        kill_when(lambda: bool(partial(broken, "finetune", "work/**/state.safetensors")), command(broken, encoder))
        kill_when(lambda: bool(partial(broken, "generate", "images/*.png")), command(broken, encoder))
        assert not (broken / "results").exists()
        finish(start(command(broken, encoder)))
        finish(unbroken)
    finally:
        unbroken.kill()
        unbroken.communicate()
    assert outcome(broken) == outcome(whole)
    for stage in ("pairs", "prune", "finetune", "generate", "generate-prompts"):
        assert files(broken, stage) == files(whole, stage), stage
    assert not list((broken / "runs").glob("*.partial"))
