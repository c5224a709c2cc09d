"""What a plan says of a process's memory is what fine-tuning a pruned network holds on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import aptp_bench
from aptp_bench import config
from aptp_bench.core.costs import FLOAT
from aptp_bench.core.living import LiveBytes
from aptp_bench.core.settings import FinetuneConfig
from aptp_bench.models.mixture import Mixture
from aptp_bench.models.stable_diffusion import MiniSD
from aptp_bench.planning.machine import Machine
from aptp_bench.planning.plan import plan
from aptp_bench.profiling.memory import storages
from aptp_bench.pruning.macs import parameters
from aptp_bench.training.finetune import finetune
from aptp_bench.training.latents import Pairs


@pytest.fixture(scope="module")
def dense() -> Any:
    return MiniSD().load()


@pytest.mark.parametrize(("method", "budget", "batch"), [("norm", 0.78, 16), ("norm", 0.5, 40), ("bk_sdm", 0.64, 16)])
def test_a_pruned_network_is_tuned_in_what_is_planned(
    dense: Any, method: str, budget: float, batch: int, tmp_path: Path
) -> None:
    settings = [f"finetune.batch={batch}"]
    recipe = config.recipe(method, "coco", "mini", {"budget.ratio": budget}, settings)
    planned = plan("one", [(method, recipe)], Machine.of("A100", memory_gib=1e6), tmp_path).memory_bytes["finetune"]
    unet, networks = dense.unet, (dense.unet, dense.vae, dense.text_encoder)
    expert = aptp_bench.prune(dense, method, budget, scale="mini")
    text = torch.randn(8, MiniSD.tokens, unet.config.cross_attention_dim)
    size = unet.config.sample_size
    pairs = Pairs(["a car"] * 8, torch.randn(8, unet.config.in_channels, size, size), text)
    known = set().union(*map(storages, (*networks, expert)))
    with LiveBytes(known) as counter:
        finetune(
            Mixture.of_one(expert), dense, pairs, FinetuneConfig(steps=2, batch=batch),
            seed=0, folder=tmp_path, device=torch.device("cpu"),
        )  # fmt: skip
    held = FLOAT * sum(map(parameters, networks)) + counter.living.peak
    assert planned == pytest.approx(held, rel=0.15)
