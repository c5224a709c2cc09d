"""SIGKILL at three places of a run; the same command goes on and ends with what an unbroken run ends with."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

# The run kills itself, so that it dies at the same place on a slow machine as on a fast one.
MORTAL = """
import os, re, signal, sys
place, visits = re.compile(sys.argv.pop(1)), int(sys.argv.pop(1))
def watch(event, args):
    global visits
    if event == "os.rename" and place.search(os.fspath(args[1])):
        visits -= 1
        if not visits:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
from aptp_bench.cli import main
main()
"""
NOWHERE = r"$^"
SMALL = [
    "sizes.train=48", "sizes.val=8", "sizes.partiprompts=4", "sampling.steps=2", "sampling.batch=2", "experts=2",
    "warmup_steps=2", "joint_steps=8", "batch=8", "checkpoint_every=1", "align_steps=5",
    "finetune.steps=12", "finetune.batch=8", "finetune.checkpoint_every=1", "metrics=[macs,parameters]",
]  # fmt: skip
SILENCE = 900.0  # seconds in which a run writes nothing before it counts as hung; how long it takes in all is free


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
    return words


class Run:
    """A run in a process of its own, which SIGKILLs itself as it renames the `visits`-th file into a `place` (regex)."""

    def __init__(self, folder: Path, encoder: Path, place: str = NOWHERE, visits: int = 1) -> None:
        self.folder, self.log = folder, folder.with_suffix(".log")
        words = [sys.executable, "-c", MORTAL, place, str(visits), *command(folder, encoder)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=log)
        self.started = time.time()

    def ended(self) -> int:
        """The exit status, waited for as long as files are written."""
        while self.process.poll() is None:
            if time.time() - max(self.started, newest(self.folder)) > SILENCE:
                pytest.fail(f"nothing was written for {SILENCE:.0f} s:\n{self.log.read_text()}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=1.0)
        return self.process.returncode

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def newest(folder: Path) -> float:
    """When a file was last made, renamed or removed anywhere in a folder."""
    times = [0.0]
    for place, _, _ in os.walk(folder):
        with contextlib.suppress(FileNotFoundError):
            times.append(os.stat(place).st_mtime)
    return max(times)


def killed(folder: Path, encoder: Path, place: str) -> None:
    """A run that dies as it finishes the third file of a place, the first two being there."""
    with Run(folder, encoder, place, visits=3) as run:
        assert run.ended() == -signal.SIGKILL, run.log.read_text()
    there = [file for file in (folder / "runs").rglob("*") if re.search(place, str(file))]
    assert there, f"nothing of {place} outlived the kill"


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
    with Run(whole, encoder) as unbroken:  # beside the others
        killed(broken, encoder, r"/prune-\w+\.partial/work/.*state\.safetensors$")
        assert not list((broken / "runs").glob("prune-*/manifest.json"))
        killed(broken, encoder, r"/finetune-\w+\.partial/work/.*state\.safetensors$")
        killed(broken, encoder, r"/generate-\w+\.partial/images/\d+\.png$")
        assert not (broken / "results").exists()
        with Run(broken, encoder) as last:
            assert last.ended() == 0, last.log.read_text()
        assert unbroken.ended() == 0, unbroken.log.read_text()
    assert outcome(broken) == outcome(whole)
    for stage in ("pairs", "prune", "finetune", "generate", "generate-prompts"):
        assert files(broken, stage) == files(whole, stage), stage
    assert not list((broken / "runs").glob("*.partial"))
