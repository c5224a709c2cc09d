from __future__ import annotations

import os
import subprocess
import sys

from aptp_bench.core.distributed import ALONE, Ranks


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


WAITING = """
from datetime import timedelta
import time
import torch.distributed as dist
import torch.distributed.constants as constants
import torch.distributed.distributed_c10d as c10d
constants.default_pg_timeout = c10d.default_pg_timeout = timedelta(seconds=2)
from aptp_bench.core.distributed import Ranks
ranks = Ranks.here()
assert ranks.size == 2
if ranks.first:
    time.sleep(5)
ranks.wait()
dist.destroy_process_group()
print("met", ranks.rank)
"""


def test_the_others_wait_longer_than_a_groups_default(tmp_path):
    """The first process measures alone; ten minutes, the usual limit, would end every run at the paper's scale."""
    (tmp_path / "waiting.py").write_text(WAITING)
    words = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node=2",
        "--master_port=0",
        "--rdzv_backend=c10d",
    ]
    words += ["--rdzv_endpoint=localhost:0", str(tmp_path / "waiting.py")]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=300, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    )
    assert done.returncode == 0 and "met 0" in done.stdout and "met 1" in done.stdout, done.stderr
