from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.settings import FinetuneConfig
from aptp_bench.errors import TrainingError
from aptp_bench.models.mixture import Mixture
from aptp_bench.pruning.gates import GateSpace, guarded
from aptp_bench.pruning.surgery import clone, cut
from aptp_bench.training import finetune as module
from aptp_bench.training.finetune import finetune, reset_, shares
from aptp_bench.training.latents import Pairs

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

CPU = torch.device("cpu")
CONFIG = FinetuneConfig(steps=4, batch=6, lr=1e-2, checkpoint_every=2)


@pytest.fixture
def pairs() -> Pairs:
    generator = torch.Generator().manual_seed(0)
    captions = ["cat", "a dog", "rain", "a red boat", "snow", "an owl", "two owls", "a pond"]
    latents = torch.randn(8, 4, 4, 4, generator=generator)
    return Pairs(captions, latents, torch.randn(8, 77, 16, generator=generator))


@pytest.fixture
def mixture(tiny: StableDiffusionPipeline, router_by: Any) -> Mixture:
    """Two experts, one of them with closed depth gates: captions of one word go to it."""
    space = GateSpace.of(tiny.unet)
    keep = torch.rand(2, space.size, generator=torch.Generator().manual_seed(1)) > 0.5
    keep[0, space.width_size :] = False
    keep = guarded(keep, space)
    router = router_by(lambda prompt: min(len(prompt.split()), 2) - 1)()
    return Mixture([cut(tiny.unet, space, keep[i]) for i in range(2)], router)


@pytest.fixture
def tune(tiny: StableDiffusionPipeline, mixture: Mixture, pairs: Pairs, tmp_path: Path) -> Any:
    """tune(folder="run", of=mixture, data=pairs, progress=silent, **settings) -> what fine-tuning makes of it."""

    def tuned(
        folder: str = "run", of: Any = mixture, data: Any = pairs, progress: Any = None, **settings: Any
    ) -> Mixture:
        given = {"seed": 5, "folder": tmp_path / folder, "device": CPU, "progress": progress or SilentProgress()}
        return finetune(of, tiny, data, CONFIG.model_copy(update=settings), **given)

    return tuned


@pytest.fixture
def history(tmp_path: Path) -> Any:
    """history(expert, folder="run") -> what every step of an expert's tuning reported."""

    def rows(expert: int, folder: str = "run") -> list[dict[str, Any]]:
        file = tmp_path / folder / f"expert-{expert:02}" / "history.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()]

    return rows


def same(a: UNet2DConditionModel, b: UNet2DConditionModel) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_experts_change_and_what_was_given_does_not(tiny: StableDiffusionPipeline, mixture: Mixture, tune: Any) -> None:
    given = [clone(tiny.unet), *(clone(expert) for expert in mixture.experts)]
    flags = [p.requires_grad for p in tiny.unet.parameters()]
    result = tune()
    assert all(same(a, b) for a, b in zip(given, [tiny.unet, *mixture.experts], strict=True))
    assert [p.requires_grad for p in tiny.unet.parameters()] == flags
    assert not any(m._forward_hooks for m in tiny.unet.modules())
    assert not any(same(result.experts[i], mixture.experts[i]) for i in range(2))
    assert result.router is mixture.router


def test_every_expert_learns_from_its_own_pairs_only(mixture: Mixture, pairs: Pairs, tune: Any) -> None:
    spoiled = replace(pairs, latents=pairs.latents.clone())
    spoiled.latents[torch.cat(shares(mixture, pairs)[1:])] = 77.0  # what expert 1 sees
    a, b = tune("a"), tune("b", data=spoiled)
    assert same(a.experts[0], b.experts[0])
    assert not same(a.experts[1], b.experts[1])


def test_shares_partition_the_pairs(mixture: Mixture, pairs: Pairs) -> None:
    own = shares(mixture, pairs)
    assert torch.cat(own).sort().values.tolist() == list(range(8))
    assert [pairs.captions[i] for i in own[0].tolist()] == ["cat", "rain", "snow"]


def test_a_killed_fine_tuning_goes_on_with_the_same_result(tune: Any, killed: Any) -> None:
    whole = tune("whole")
    for after in (1, 3, 6):
        with pytest.raises(KeyboardInterrupt):
            tune(f"broken-{after}", progress=killed(after))
        resumed = tune(f"broken-{after}")
        assert all(same(whole.experts[i], resumed.experts[i]) for i in range(2)), after


def test_distillation_brings_an_expert_nearer_to_the_teacher(tune: Any, history: Any) -> None:
    tune(steps=40, lr=5e-3)
    losses = [row["loss"] for row in history(1)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_the_loss_is_equation_30(tune: Any, history: Any) -> None:
    tune(alpha_ddpm=0.3, alpha_distill=2.0)
    assert history(0)
    for row in history(0):
        parts = 0.3 * row["denoising"] + 2.0 * (row["output"] + row["blocks"])
        assert row["loss"] == pytest.approx(parts, rel=1e-5)


def test_the_mid_block_can_be_left_out_of_the_loss(tune: Any, history: Any) -> None:
    for name in ("with", "without"):
        tune(name, steps=1, blocks="sum", mid_block=name == "with")
    (whole,), (less,) = history(0, "with"), history(0, "without")
    assert whole["blocks"] > less["blocks"] > 0 and whole["output"] == less["output"]


def test_total_steps_are_divided_by_the_number_of_pairs(tune: Any, history: Any) -> None:
    tune(steps=16, share="total", batch=2)
    assert [len(history(i)) for i in range(2)] == [6, 10]


def test_accumulated_parts_tune_as_the_whole_batch_does(tune: Any, history: Any) -> None:
    whole, split = (tune(f"{n}", steps=1, drop_text=0.5, accumulate=n) for n in (1, 3))
    assert history(1, "1")[0]["loss"] == pytest.approx(history(1, "3")[0]["loss"], rel=1e-4)
    for p, q in zip(whole.experts[1].parameters(), split.experts[1].parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=2.1e-2)  # AdamW's first step is lr times the sign


def test_an_expert_without_pairs_is_left_as_it_was_and_named(mixture: Mixture, pairs: Pairs, tune: Any) -> None:
    lines: list[str] = []
    progress = SilentProgress()
    progress.say = lines.append  # type: ignore[method-assign]
    result = tune(data=pairs.subset([1, 3]), progress=progress)
    assert len(lines) == 1 and "expert 1 of 2" in lines[0]
    assert same(result.experts[0], mixture.experts[0]) and not same(result.experts[1], mixture.experts[1])


def test_dropped_prompts_read_the_empty_text(
    tiny: StableDiffusionPipeline, tune: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    observe = module.diffusion.observe

    def spy(unet: Any, noised: Any, *how: Any) -> Any:
        seen.append(noised.text)
        return observe(unet, noised, *how)

    monkeypatch.setattr(module.diffusion, "observe", spy)
    tune(batch=200, steps=1, drop_text=0.25)
    empty = module.encode_text(tiny, [""])
    share = (seen[0] == empty).flatten(1).all(1).float().mean()
    assert 0.1 < float(share) < 0.4
    assert torch.equal(seen[0], seen[1])  # teacher and student read the same


def test_one_expert_is_a_mixture_too(tiny: StableDiffusionPipeline, tune: Any) -> None:
    result = tune(of=Mixture.of_one(tiny.unet), steps=1)
    assert len(result) == 1 and not same(result.experts[0], tiny.unet)


def test_from_scratch_keeps_the_shapes_and_none_of_the_weights(mixture: Mixture, tune: Any) -> None:
    result = tune(steps=0, reset=True)
    for i in range(2):
        old, new = mixture.experts[i].state_dict(), result.experts[i].state_dict()
        assert {name: t.shape for name, t in new.items()} == {name: t.shape for name, t in old.items()}
        drawn = [name for name in new if new[name].unique().numel() > 1]  # a norm's are ones and zeros anew
        assert drawn and not [name for name in drawn if torch.equal(new[name], old[name])]


def test_from_scratch_the_seed_decides_and_no_other_random_numbers(mixture: Mixture, tune: Any) -> None:
    before = torch.random.get_rng_state()
    one = tune("a", steps=1, reset=True)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    other, trained = tune("b", steps=1, reset=True), tune("c", steps=1)
    assert all(same(one.experts[i], other.experts[i]) for i in range(2))
    assert not same(one.experts[0], trained.experts[0])
    first, second = clone(mixture.experts[0]), clone(mixture.experts[0])
    reset_(first, 0), reset_(second, 1)
    assert not same(first, second)


def test_a_killed_fine_tuning_from_scratch_goes_on_with_the_same_result(tune: Any, killed: Any) -> None:
    whole = tune("whole", reset=True)
    with pytest.raises(KeyboardInterrupt):
        tune("broken", reset=True, progress=killed(3))
    resumed = tune("broken", reset=True)
    assert all(same(whole.experts[i], resumed.experts[i]) for i in range(2))


def test_every_network_of_the_suite_can_be_drawn_anew_as_diffusers_draws_it(small_sd: StableDiffusionPipeline) -> None:
    """The mini world's U-Net pools the text too; a new one of diffusers has weights as large."""
    fresh = type(small_sd.unet).from_config(small_sd.unet.config)
    drawn = clone(small_sd.unet)
    with torch.no_grad():
        for p in drawn.parameters():
            p.fill_(9.0)
    reset_(drawn, 0)
    for (name, p), q in zip(drawn.named_parameters(), fresh.parameters(), strict=True):
        assert not (p == 9.0).any(), name
        if p.numel() >= 512:
            assert p.std().item() == pytest.approx(q.std().item(), rel=0.2), name


def test_parameters_that_nothing_can_draw_are_an_error() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ParameterList([torch.zeros(3)]))
    with pytest.raises(TrainingError, match="'1' cannot draw"):
        reset_(network, 0)


def test_an_expert_from_scratch_without_pairs_is_said_to_be_as_drawn(tune: Any, pairs: Pairs) -> None:
    lines: list[str] = []
    progress = SilentProgress()
    progress.say = lines.append  # type: ignore[method-assign]
    tune(data=pairs.subset([1, 3]), progress=progress, reset=True, steps=1)
    assert "as drawn" in lines[0]


def test_settings_name_the_reset_only_where_it_is_set() -> None:
    """Keys of stages and identities of records are made of them: those from before it stay what they were."""
    plain, reset = FinetuneConfig(), FinetuneConfig(reset=True)
    assert "reset" not in plain.model_dump(mode="json") and "reset" not in json.loads(plain.model_dump_json())
    assert reset.model_dump(mode="json", exclude={"checkpoint_every"})["reset"] is True
    assert "reset" not in reset.training(3, 1).model_dump() and FinetuneConfig(**reset.model_dump()) == reset
