"""What a training step is counted to hold is what it holds on the CPU, and what it executes is what is executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from aptp_bench.budget import Budget
from aptp_bench.core.costs import FLOAT, highest
from aptp_bench.core.living import LiveBytes
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.settings import FinetuneConfig
from aptp_bench.methods.aptp.config import APTPConfig
from aptp_bench.methods.aptp.pruning import schedule, searching
from aptp_bench.models.mixture import Mixture
from aptp_bench.models.operations import BACKWARD
from aptp_bench.plugins import Job
from aptp_bench.profiling.memory import storages
from aptp_bench.pruning.macs import parameters
from aptp_bench.pruning.surgery import meta_clone
from aptp_bench.training.finetune import finetune
from aptp_bench.training.latents import Pairs
from aptp_bench.training.loop import train
from aptp_bench.training.step_cost import STEPS, sketched, step_cost

CPU, EDGE, WITHIN = torch.device("cpu"), 8, 0.15
BATCHES = [(4, 1), (16, 1), (16, 4)]  # batch, parts


@pytest.fixture(scope="module")
def pairs(small_sd: Any) -> Pairs:
    config = small_sd.unet.config
    shape = (8, config.in_channels, EDGE, EDGE)
    return Pairs(["a car"] * 8, torch.randn(shape), torch.randn(8, 32, config.cross_attention_dim))


@pytest.mark.parametrize(("batch", "parts"), BATCHES)
@pytest.mark.parametrize(("share", "precision"), [(0.5, "float32"), (1.0, "float32"), (1.0, "bfloat16")])
def test_fine_tuning_holds_what_is_counted(
    small_sd: Any, narrowed: Any, pairs: Pairs, tmp_path: Path, batch: int, parts: int, share: float, precision: Any
) -> None:
    expert = narrowed(share)
    config = FinetuneConfig(steps=2, batch=batch, accumulate=parts, precision=precision)
    known = storages(small_sd.unet) | storages(expert) | storages(small_sd.text_encoder)
    with LiveBytes(known) as counter:
        finetune(Mixture.of_one(expert), small_sd, pairs, config, seed=0, folder=tmp_path, device=CPU)
    counted = step_cost(expert, small_sd.unet, "weights", EDGE, 32)
    student = FLOAT * parameters(expert)
    needed = student + counted.needs(batch // parts, parts > 1, precision)
    assert counter.living.peak == pytest.approx(needed, rel=WITHIN)


@pytest.mark.parametrize(("batch", "parts"), BATCHES)
@pytest.mark.parametrize(
    ("precision", "within"),
    [
        ("float32", WITHIN),
        ("bfloat16", 0.25),
    ],  # half of the frozen weights here have no copies kept: time's, the text's
)
def test_a_search_holds_what_is_counted(
    small_sd: Any, pairs: Pairs, tmp_path: Path, batch: int, parts: int, precision: Any, within: float
) -> None:
    config = APTPConfig(uni_arch=True, batch=batch, accumulate=parts, precision=precision)
    job = Job(small_sd, pairs, Budget.of(0.8, "exact"), 0, CPU, tmp_path, SilentProgress())
    with searching(job, config, None) as search, LiveBytes(storages(small_sd.unet)) as counter:
        settings = schedule(config, 2, parts)
        train(search.architect, search.joint, settings, seed=0, folder=tmp_path, progress=SilentProgress(), label="")
    counted = step_cost(small_sd.unet, small_sd.unet, "gates", EDGE, 32)
    assert counter.living.peak == pytest.approx(counted.needs(batch // parts, parts > 1, precision), rel=within)


@pytest.mark.parametrize("learns", ["weights", "gates"])
def test_a_step_executes_what_torch_counts(small_sd: Any, learns: Any) -> None:
    counted = step_cost(small_sd.unet, small_sd.unet, learns, EDGE, 32)
    there = meta_clone(small_sd.unet).requires_grad_(learns == "weights")
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as executed:
        STEPS[learns](there, there, sketched(there, 1, EDGE, 32))
    spelt_out = 2 / BACKWARD  # scores that were kept are not computed again: four products instead of five
    macs = sum(op.macs * (spelt_out if op.name == "attention_backward" else 1) for op in counted.operations)
    real = executed.get_total_flops() / 2
    if learns == "weights":
        assert macs == pytest.approx(real)
    else:  # kernels make the gradients of a text's keys and values too, which nobody asks for
        assert real < macs < 1.02 * real


def test_counting_leaves_the_networks_as_they_were(small_sd: Any) -> None:
    before = {name: tensor.clone() for name, tensor in small_sd.unet.state_dict().items()}
    step_cost(small_sd.unet, small_sd.unet, "weights", EDGE, 32, checkpointing=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in small_sd.unet.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in small_sd.unet.parameters())
    assert not small_sd.unet.is_gradient_checkpointing


def test_checkpointing_holds_less_and_executes_more(small_sd: Any) -> None:
    for learns in STEPS:
        plain, sparing = (step_cost(small_sd.unet, small_sd.unet, learns, EDGE, 32, flag) for flag in (False, True))
        assert sparing.working(32) < 0.5 * plain.working(32)
        assert sum(op.macs for op in sparing.operations) > sum(op.macs for op in plain.operations)


@pytest.mark.parametrize("seed", range(20))
def test_the_hull_is_as_high_as_all_lines(seed: int) -> None:
    drawn = torch.randint(100, (30, 2), generator=torch.Generator().manual_seed(seed)).tolist()
    lines = [(fixed, each) for fixed, each in drawn]
    hull = highest(lines)
    assert set(hull) <= set(lines)
    for rows in range(50):
        assert max(f + e * rows for f, e in hull) == max(f + e * rows for f, e in lines)
