from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench.core.noise import generator
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.settings import TrainConfig
from aptp_bench.methods.aptp import losses
from aptp_bench.methods.aptp.config import APTPConfig
from aptp_bench.methods.aptp.encoder import PromptEncoder
from aptp_bench.methods.aptp.pruning import searching
from aptp_bench.methods.aptp.search import Search
from aptp_bench.plugins import Job
from aptp_bench.training.loop import Part, train

Start = Callable[..., Search]


@pytest.fixture
def start(job: Callable[..., Job], settings: dict[str, Any]) -> Iterator[Start]:
    """start(**options) -> a search over installed gates, codes set to random ones."""
    with ExitStack() as opened:

        def begin(**options: Any) -> Search:
            opened.close()
            config = APTPConfig(**{**settings, **options})
            encoder = None if config.uni_arch else PromptEncoder(config.encoder)
            search = opened.enter_context(searching(job(0.7), config, encoder))
            search.architect.begin_codes("random", search.prompts, generator("codes"))
            return search

        yield begin


def step(search: Search, stage: str, part: Part | None = None, seed: int = 0) -> dict[str, torch.Tensor]:
    return getattr(search, stage)(0, generator("step", seed), part or Part())


def value(term: torch.Tensor) -> float:
    return float(term.detach())


def test_the_objective_is_equation_15_with_the_authors_two_terms(start: Start) -> None:
    search = start()
    terms = step(search, "joint")
    expected = (
        terms["denoising"]
        + 0.2 * (terms["output"] + terms["blocks"])
        + 2.0 * terms["resource"]
        + 100.0 * terms["contrastive"]
        + 0.1 * (terms["max"] + terms["std"])
    )
    torch.testing.assert_close(terms["loss"], expected)
    torch.testing.assert_close(terms["resource"], losses.resource(terms["ratio"], 0.7))
    torch.testing.assert_close((terms["loads"] * terms["ratios"]).sum(), terms["ratio"])
    assert float(terms["loads"].sum()) == pytest.approx(1.0)


def test_codes_learn_from_the_network_and_eta_from_the_contrastive_loss_only(start: Start) -> None:
    search = start(contrastive_weight=0.0)
    step(search, "joint")["loss"].backward()
    assert search.architect.codes.grad.abs().sum() > 0
    assert search.architect.predictor.weight.grad is None
    search = start(resource_weight=0.0, max_weight=0.0, std_weight=0.0, output_weight=0.0, block_weight=0.0)
    step(search, "joint")["loss"].backward()
    assert search.architect.predictor.weight.grad.abs().sum() > 0


def test_the_link_lets_transport_reach_eta_and_not_the_codes(start: Start) -> None:
    search = start(contrastive_weight=0.0, link="assignment")
    terms = step(search, "joint")
    torch.autograd.backward(terms["link"])
    assert search.architect.predictor.weight.grad.abs().sum() > 0
    assert search.architect.codes.grad is None


def test_the_warm_up_trains_eta_through_the_network(start: Start) -> None:
    search = start(contrastive_weight=0.0)
    step(search, "warm")["loss"].backward()
    assert search.architect.predictor.weight.grad.abs().sum() > 0
    assert search.architect.codes.grad is None


def test_frozen_weights_get_no_gradient(start: Start) -> None:
    search = start()
    step(search, "joint")["loss"].backward()
    assert all(p.grad is None for p in search.gated.unet.parameters())


@pytest.mark.parametrize("stage", ["warm", "joint"])
def test_parts_amount_to_the_whole_batch(start: Start, stage: str) -> None:
    search = start()
    whole = step(search, stage)
    whole["loss"].backward()
    learned = search.architect.codes if stage == "joint" else search.architect.predictor.weight
    gradient, learned.grad = learned.grad, None
    parts = [step(search, stage, Part(i, 3)) for i in range(3)]
    (sum(part["loss"] for part in parts) / 3).backward()
    for name in ("loss", "denoising", "output", "blocks", "contrastive", "ratio"):
        torch.testing.assert_close(torch.stack([p[name] for p in parts]).mean(), whole[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(learned.grad, gradient, rtol=1e-3, atol=1e-5)


def test_a_local_scope_transports_each_part_by_itself(start: Start) -> None:
    search = start(batch_scope="local", experts=4)
    loads = step(search, "joint", Part(0, 3))["loads"]
    assert torch.equal(loads, step(search, "joint", Part(2, 3))["loads"])  # every part knows the others' assignment


def test_transport_uses_every_code_where_the_nearest_one_takes_all(start: Start) -> None:
    def loads(search: Search) -> torch.Tensor:
        with torch.no_grad():
            search.architect.codes[0] = search.architect(search.prompts).mean(0)
            search.architect.codes[1:] *= 0.1
        return step(search, "joint")["loads"]

    assert int((loads(start()) > 0).sum()) == 3
    assert float(loads(start(transport=False)).max()) > 0.8


def test_alignment_spreads_prompts_that_the_nearest_code_took_alone(start: Start, tmp_path: Path) -> None:
    search = start()
    with torch.no_grad():
        search.architect.codes[0] = search.architect(search.prompts).mean(0)
        search.architect.codes[1:] *= 0.1
    codes, before = search.architect.codes.detach().clone(), torch.bincount(search.routes(), minlength=3)
    config = TrainConfig(steps=150, batch=12, lr=1e-2)
    where = {"seed": 0, "folder": tmp_path, "progress": SilentProgress(), "label": "align"}
    train(search.architect.predictor, partial(search.align, search.plan()), config, **where)
    after = torch.bincount(search.routes(), minlength=3)
    assert int(before.max()) > 25 and int(after.min()) >= 3
    assert torch.equal(search.architect.codes, codes)


def test_open_gates_leave_nothing_to_distil(start: Start) -> None:
    search = start()
    with torch.no_grad():
        search.architect.codes.fill_(60.0)
    terms = step(search, "joint")
    assert value(terms["output"]) < 1e-10 and value(terms["blocks"]) < 1e-10
    assert value(terms["ratio"]) == pytest.approx(1.0)


def test_without_distillation_the_teacher_is_not_run(start: Start) -> None:
    terms = step(start(distillation=False), "joint")
    assert "output" not in terms and "blocks" not in terms


def test_one_network_for_all_prompts_has_a_gradient_without_nan(start: Start) -> None:
    search = start(uni_arch=True)
    terms = step(search, "joint")
    terms["loss"].backward()
    assert terms["loads"].tolist() == [1.0] and "contrastive" not in terms
    assert search.architect.codes.grad.isfinite().all()


def test_equal_experts_have_a_gradient_without_nan(start: Start) -> None:
    search = start(transport=False)
    with torch.no_grad():
        search.architect.codes.copy_(search.architect.codes[:1].expand(3, -1))
    step(search, "joint")["loss"].backward()
    assert search.architect.codes.grad.isfinite().all()


def test_the_adjusted_target_of_prunable_macs_is_met_where_the_total_is(start: Start) -> None:
    search = start(resource_on="prunable")
    gates = torch.rand(200, search.gated.space.size, generator=torch.Generator().manual_seed(0))
    total, prunable = search.cost.ratio(gates), search.cost.prunable_ratio(gates)
    slope = (prunable[1:] - prunable[0]) / (total[1:] - total[0])
    expected = prunable[0] + slope * (0.7 - total[0])
    torch.testing.assert_close(expected, torch.full_like(expected, search.target(0.7)), rtol=1e-6, atol=1e-6)


def test_balanced_rounding_loads_every_code_alike(start: Start) -> None:
    search = start(transport_rounding="balanced")
    with torch.no_grad():
        search.architect.codes[0] = search.architect(search.prompts).mean(0)
        search.architect.codes[1:] *= 0.1
    for seed in range(3):
        assert step(search, "joint", seed=seed)["loads"].tolist() == pytest.approx([1 / 3] * 3)


def test_without_noise_a_prompt_keeps_its_code(start: Start) -> None:
    def drawn(search: Search) -> list[torch.Tensor]:
        """What two draws of gate noise make of one batch."""
        found = []
        for seed in range(2):
            at = search._sample(generator("step", 0), Part())
            codes = search.architect.codes
            gates = search.relaxation.gates(codes, generator("noise", seed))
            found.append(search._routed(replace(at, generator=generator("noise", seed)), (codes, gates))[1])
        return found

    first, second = drawn(start(transport_noise=False))
    assert torch.equal(first, second)
    first, second = drawn(start())
    assert not torch.equal(first, second)


def test_a_mean_over_samples_counts_an_expert_by_its_load(start: Start) -> None:
    search = start(network_mean="samples")
    assignment = torch.tensor([0, 0, 0, 2])
    torch.testing.assert_close(search._weights(assignment), torch.full((4,), 0.25))
    terms = step(search, "joint")
    assert int((terms["loads"] * 12).round().max()) > 4  # where loads are even, both means are one
    assert value(terms["denoising"]) != value(step(start(), "joint")["denoising"])


def test_the_deviation_may_count_experts_once_each(start: Start) -> None:
    terms = step(start(std_over="experts"), "joint")
    used = terms["ratios"][terms["loads"] > 0]
    torch.testing.assert_close(terms["std"], -used.std(), rtol=1e-4, atol=1e-6)
    assert value(terms["std"]) != pytest.approx(value(step(start(), "joint")["std"]), rel=1e-6)
