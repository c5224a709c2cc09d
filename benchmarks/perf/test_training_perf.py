"""What a step of our loop costs, against accelerate's own way of training the same network, in the same two processes.

Run: pytest benchmarks/perf/test_training_perf.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from aptp_bench.core.distributed import Ranks
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.settings import TrainConfig
from aptp_bench.models.stable_diffusion import MINI_GEOMETRY
from aptp_bench.training.loop import Part, train

BAR = 1.1  # of the rival's seconds
ROUNDS, STEPS, ROWS = 4, 5, 8  # rows: of a step, over both processes
LAUNCH = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0"]


def error(unet: nn.Module, rows: slice) -> Tensor:
    """A denoising error: of these rows of a batch of ones."""
    n = rows.stop - rows.start
    return unet(torch.ones(n, 4, 8, 8), torch.ones(n), torch.ones(n, 77, 128)).sample.square().mean()


def ours(unet: nn.Module, tick: Callable[[], None]) -> None:
    """Some steps by the loop that trains everything here."""

    def loss(step: int, generator: torch.Generator, part: Part) -> dict[str, Tensor]:
        tick()
        return {"loss": error(unet, part.rows(ROWS))}

    config = TrainConfig(steps=STEPS, batch=ROWS, lr=1e-5)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        train(unet, loss, config, seed=0, folder=place, progress=SilentProgress(), label="steps")


def theirs(unet: nn.Module, tick: Callable[[], None]) -> None:
    """The same by `Accelerator.prepare`, as its guide shows it."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model, optimizer = accelerator.prepare(unet, torch.optim.AdamW(unet.parameters(), lr=1e-5, weight_decay=0.0))
    for _ in range(STEPS):
        tick()
        optimizer.zero_grad()
        accelerator.backward(error(model, slice(0, ROWS // 2)))
        optimizer.step()


def seconds_a_step() -> dict[str, float]:
    """The median of each, taken in turns; two processes run this."""
    torch.set_num_threads(1)
    Ranks.here()
    unet: Any = MINI_GEOMETRY.build().unet.train()
    seen: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(ROUNDS):
        for steps in (ours, theirs):
            at: list[float] = []
            steps(unet.requires_grad_(True), lambda at=at: at.append(time.perf_counter()))
            seen[steps.__name__] += [after - before for before, after in pairwise(at[1:])]
    return {name: median(seconds) for name, seconds in seen.items()}


def test_a_step_of_two_processes(benchmark: Any) -> None:
    """At most BAR times as long as accelerate's own DistributedDataParallel, on CPUs through gloo."""
    words = [sys.executable, *LAUNCH, str(Path(__file__))]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    found: list[dict[str, float]] = []

    def both() -> None:
        done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=600, env=quiet)
        found.append(json.loads(done.stdout.splitlines()[-1]))

    benchmark.pedantic(both, rounds=1)
    ratio = found[0]["ours"] / found[0]["theirs"]
    benchmark.extra_info |= {f"{name}_step_s": seconds for name, seconds in found[0].items()} | {"ratio": ratio}
    assert ratio <= BAR


if __name__ == "__main__":
    measured = seconds_a_step()
    if Ranks.here().first:
        sys.stdout.write(json.dumps(measured) + "\n")
