from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from aptp_bench.core.distributed import ALONE, Ranks, left_alone


def test_one_process_without_a_launcher(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert Ranks.here() is ALONE
    assert ALONE.first
    ALONE.wait()


def test_shares_tile_the_items():
    items = list(range(11))
    shares = [Ranks(rank, 4).share(items) for rank in range(4)]
    assert sorted(item for share in shares for item in share) == items
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert [Ranks(rank, 4).first for rank in range(4)] == [True, False, False, False]


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"ACCELERATE_USE_CPU": "True", "MASTER_ADDR": "127.0.0.1"}, True),  # accelerate launch --cpu --num_processes 2
        ({"ACCELERATE_USE_CPU": "True"}, False),  # …1
        ({"ACCELERATE_USE_CPU": "True", "MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2"}, False),
        ({}, False),
    ],
)
def test_a_launcher_that_started_one_process_of_several_is_told_of(monkeypatch, env, said):
    for name in ("ACCELERATE_USE_CPU", "MASTER_ADDR", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert ("torchrun" in (left_alone() or "")) == said


TOGETHER = """
from datetime import timedelta
import json
from pathlib import Path
import time
import torch.distributed.constants as constants
import torch.distributed.distributed_c10d as c10d
constants.default_pg_timeout = c10d.default_pg_timeout = timedelta(seconds=2)
from aptp_bench.core.distributed import Ranks, leave
from aptp_bench.errors import MetricError
ranks = Ranks.here()
assert ranks.size == 2
said = []
for kind in (MetricError, KeyError):
    try:
        with ranks.together():
            if not ranks.first:
                raise kind("no images")
    except Exception as err:
        said.append(f"{ranks.rank} {type(err).__name__} {'no images' in str(err)}")
assert ranks.gathered(str(ranks.rank)) == ["0", "1"]  # both are at the same place
if ranks.first:
    time.sleep(5)
ranks.wait()
leave()
Path(f"said-{ranks.rank}").write_text(json.dumps(said))
"""


def test_what_one_process_raises_all_raise_and_the_others_wait_longer_than_a_groups_default(tmp_path):
    """The first process measures alone; ten minutes, the usual limit, would end every run at the paper's scale.

    Two processes share one stdout, so what they say goes to files.
    """
    (tmp_path / "program.py").write_text(TOGETHER)
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--rdzv_backend=c10d"]
    words += ["--rdzv_endpoint=localhost:0", "program.py"]
    quiet = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300, env=quiet, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "said-0").read_text()) == ["0 MetricError True", "0 RuntimeError True"]
    assert json.loads((tmp_path / "said-1").read_text()) == ["1 MetricError True", "1 KeyError True"]


PARTED = """
from datetime import timedelta
import sys
import aptp_bench.core.distributed as distributed
from aptp_bench.cli.failures import outcome
from aptp_bench.core.distributed import Ranks, leave
from aptp_bench.errors import TrainingError
import torch
distributed.GRACE = timedelta(seconds=2)
ranks = Ranks.here()

def alone():
    with ranks.together():
        if ranks.first:
            torch.distributed.all_reduce(torch.zeros(1))  # of a step that the other does not take
        raise TrainingError("the step failed")

def on_one():
    with ranks.together(), ranks.together():
        if not ranks.first:
            raise PermissionError(13, "Permission denied", "a.png")

def on_all():
    with ranks.together():
        raise TrainingError("the batch is wrong")

codes = ranks.gathered([outcome(on_one), outcome(on_all)])
assert codes == [[2, 2], [2, 2]], codes
sys.exit(outcome(alone))
"""


def test_a_failure_is_said_once_and_ends_all_wherever_the_others_wait(tmp_path):
    (tmp_path / "program.py").write_text(PARTED)
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--rdzv_backend=c10d"]
    words += ["--rdzv_endpoint=localhost:0", "program.py"]
    quiet = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120, env=quiet, cwd=tmp_path)
    assert done.returncode
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert [next(word for word in ("a.png", "batch", "step") if word in line) for line in said] == [
        "a.png",
        "batch",
        "step",
    ]
    assert "AssertionError" not in done.stderr
