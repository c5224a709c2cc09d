"""What methods forecast is what they run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench import registry
from aptp_bench.budget import Budget
from aptp_bench.core.progress import SilentProgress
from aptp_bench.methods.bk_sdm import BKSDM
from aptp_bench.methods.ld_pruner import LDPruner
from aptp_bench.planning.facts import Facts
from aptp_bench.plugins import Forecast, Job, Sketch
from aptp_bench.pruning.macs import parameters
from aptp_bench.training.latents import Pairs

CPU = torch.device("cpu")
OURS = sorted(name for name, each in registry.plugins("methods").items() if each.provider == "aptp-bench")


def sketch_of(facts: Facts, ratio: float = 0.78) -> Sketch:
    kind = facts.kind
    return Sketch(lambda: kind().skeleton(), facts.noted, kind.reads_prompts(), kind.tokens, Budget.of(ratio))


@pytest.mark.parametrize("name", OURS)
def test_every_method_of_ours_says_what_it_runs(name: str) -> None:
    facts = Facts("mini-sd")
    method = registry.get("methods", name)()
    assert isinstance(method.forecast(sketch_of(facts)), Forecast)


@pytest.mark.parametrize("settings", [{"ratio": 0.9}, {"variant": "small"}])
def test_bk_sdm_keeps_the_parameters_that_it_forecasts(small_sd: Any, tmp_path: Path, settings: dict[str, Any]) -> None:
    options = dict(settings)
    budget = Budget.of(options.pop("ratio", 0.9))
    method, unet = BKSDM(**options), small_sd.unet
    (pruned,) = method.prune(Job(small_sd, None, budget, 0, CPU, tmp_path, SilentProgress())).experts
    forecast = method.forecast(Sketch(lambda: unet, lambda _, count: count(), True, 32, budget))
    assert forecast is not None and forecast.size == parameters(pruned) / parameters(unet)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_ld_pruner_runs_the_samples_that_it_forecasts(small_sd: Any, tmp_path: Path, guidance: float) -> None:
    method = LDPruner(prompts=4, generations=2, batch=4, steps=1, guidance=guidance)
    text = torch.randn(4, 32, small_sd.unet.config.cross_attention_dim)
    pairs = Pairs(["a", "b", "c", "d"], torch.randn(4, 4, 8, 8), text)
    method.prune(Job(small_sd, pairs, Budget.of(0.9, "exact"), 0, CPU, tmp_path, SilentProgress()))
    (report,) = tmp_path.rglob("report.json")
    forecast = method.forecast(Sketch(lambda: small_sd.unet, lambda _, count: count(), True, 32, Budget.of(0.9)))
    asked = sum(phase.steps * phase.batch for phase in forecast.phases)
    assert json.loads(report.read_text(encoding="utf-8"))["unet_samples"] == asked
