"""SIGKILL at three places of a run; the same command goes on and ends with what an unbroken run ends with."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# One process imports torch, and every run is a fork of it. A run kills itself as it renames the third file into its
# place, so that it dies there on a slow machine as on a fast one.
FORKS = """
import json, os, re, signal, sys
sys.path.insert(0, sys.argv[1])
import conftest, sentence_transformers, torch
from aptp_bench.harness import run
from aptp_bench.cli import main

conftest.add_plugin("models", "tiny-sd", conftest.tiny_plugin(conftest.tiny_pipeline()))

def die_in(place):
    place, left = re.compile(place), 3
    def watch(event, args):
        nonlocal left
        if event == "os.rename" and place.search(os.fspath(args[1])):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)

for words, place, folder in json.loads(sys.argv[2]):
    child = os.fork()
    if not child:
        os.dup2(2, 1)
        if place:
            die_in(place)
        sys.argv = words
        main()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([code, [os.path.join(at, file) for at, _, files in os.walk(folder) for file in files]]), flush=True)
"""
SMALL = [
    "sizes.train=24", "sizes.val=6", "sizes.partiprompts=2", "sampling.steps=1", "sampling.batch=2", "experts=2",
    "resolution.train=8", "resolution.measure=8", "warmup_steps=2", "joint_steps=4", "batch=8", "checkpoint_every=1",
    "align_steps=2", "finetune.steps=4", "finetune.batch=4", "finetune.checkpoint_every=1", "metrics=[macs,parameters]",
]  # fmt: skip
PLACES = (
    r"/prune-\w+\.partial/work/.*state\.safetensors$",
    r"/finetune-\w+\.partial/work/.*state\.safetensors$",
    r"/generate-\w+\.partial/images/\d+\.png$",
)


def command(folder: Path, encoder: Path) -> list[str]:
    words = ["aptp-bench", "run", "--method", "aptp", "--dataset", "coco", "--scale", "smoke", "--model", "tiny-sd"]
    words += ["--no-reference", "--device", "cpu"]
    words += ["--runs-dir", str(folder / "runs"), "--results-dir", str(folder / "results")]
    return words + [word for setting in (*SMALL, f"encoder={encoder}") for word in ("--set", setting)]


def outcome(folder: Path) -> dict[str, Any]:
    (path,) = (folder / "results" / "records").glob("*.json")
    record = json.loads(path.read_text())
    return {key: value for key, value in record.items() if key != "how"}


def files(folder: Path, stage: str) -> dict[str, str]:
    """Digest of every file of a finished stage, its logs' times left out."""
    (manifest,) = (folder / "runs").glob(f"{stage}-[0-9a-f]*/manifest.json")
    kept = json.loads(manifest.read_text())["files"]
    return {name: digest for name, digest in kept.items() if not name.startswith("work/")}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL and fork are not of Windows")
def test_a_run_killed_at_three_places_ends_as_an_unbroken_one(tmp_path, build_encoder):
    encoder = build_encoder(tmp_path / "encoder")
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    runs = [(command(broken, encoder), place, str(broken)) for place in (*PLACES, None)]
    runs.append((command(whole, encoder), None, str(whole)))
    words = [sys.executable, "-c", FORKS, str(Path(__file__).parents[1]), json.dumps(runs)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=1800)
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert [code for code, _ in ends] == [-signal.SIGKILL] * 3 + [0, 0], done.stderr
    for place, (_, there) in zip(PLACES, ends, strict=False):
        assert any(re.search(place, file) for file in there), f"nothing of {place} outlived the kill"
        assert not any(file.startswith(str(broken / "results")) for file in there)
    assert not any(re.search(r"/prune-\w+/manifest.json$", file) for file in ends[0][1])
    assert outcome(broken) == outcome(whole)
    for stage in ("pairs", "prune", "finetune", "generate", "generate-prompts"):
        assert files(broken, stage) == files(whole, stage), stage
    assert not list((broken / "runs").glob("*.partial"))
