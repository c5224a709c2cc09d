from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from aptp_bench import finetune as module
from aptp_bench.finetune import FinetuneConfig, finetune, shares
from aptp_bench.models.gates import GateSpace, guarded
from aptp_bench.models.mixture import Mixture, Router
from aptp_bench.models.surgery import clone, cut
from aptp_bench.pairs import Pairs
from aptp_bench.progress import SilentProgress

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

CPU = torch.device("cpu")
CONFIG = FinetuneConfig(steps=4, batch=6, lr=1e-2, checkpoint_every=2)


class ByLength(Router):
    """Captions of one word to expert 0, others to expert 1."""

    name = "by-length"

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        return torch.tensor([min(len(prompt.split()), 2) - 1 for prompt in prompts])

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path) -> ByLength:
        return cls()


@pytest.fixture
def pairs() -> Pairs:
    generator = torch.Generator().manual_seed(0)
    captions = ["cat", "a dog", "rain", "a red boat", "snow", "an owl", "two owls", "a pond"]
    latents = torch.randn(8, 4, 4, 4, generator=generator)
    return Pairs(captions, latents, torch.randn(8, 77, 16, generator=generator))


@pytest.fixture
def mixture(tiny: StableDiffusionPipeline) -> Mixture:
    """Two experts, one of them with closed depth gates."""
    space = GateSpace.of(tiny.unet)
    keep = torch.rand(2, space.size, generator=torch.Generator().manual_seed(1)) > 0.5
    keep[0, space.width_size :] = False
    keep = guarded(keep, space)
    return Mixture([cut(tiny.unet, space, keep[i]) for i in range(2)], ByLength())


def tuned(mixture: Mixture, tiny: StableDiffusionPipeline, pairs: Pairs, folder: Path, **settings: Any) -> Mixture:
    config = CONFIG.model_copy(update=settings)
    return finetune(mixture, tiny, pairs, config, seed=5, folder=folder, device=CPU, progress=SilentProgress())


def same(a: UNet2DConditionModel, b: UNet2DConditionModel) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_experts_change_and_what_was_given_does_not(
    tiny: StableDiffusionPipeline, mixture: Mixture, pairs: Pairs, tmp_path: Path
) -> None:
    given = [clone(tiny.unet), *(clone(expert) for expert in mixture.experts)]
    flags = [p.requires_grad for p in tiny.unet.parameters()]
    result = tuned(mixture, tiny, pairs, tmp_path)
    assert all(same(a, b) for a, b in zip(given, [tiny.unet, *mixture.experts], strict=True))
    assert [p.requires_grad for p in tiny.unet.parameters()] == flags
    assert not any(m._forward_hooks for m in tiny.unet.modules())
    assert not any(same(result.experts[i], mixture.experts[i]) for i in range(2))
    assert result.router is mixture.router


def test_every_expert_learns_from_its_own_pairs_only(
    tiny: StableDiffusionPipeline, mixture: Mixture, pairs: Pairs, tmp_path: Path
) -> None:
    spoiled = replace(pairs, latents=pairs.latents.clone())
    spoiled.latents[torch.cat(shares(mixture, pairs)[1:])] = 77.0  # what expert 1 sees
    a, b = (tuned(mixture, tiny, p, tmp_path / str(i)) for i, p in enumerate((pairs, spoiled)))
    assert same(a.experts[0], b.experts[0])
    assert not same(a.experts[1], b.experts[1])


def test_shares_partition_the_pairs(mixture: Mixture, pairs: Pairs) -> None:
    own = shares(mixture, pairs)
    assert torch.cat(own).sort().values.tolist() == list(range(8))
    assert [pairs.captions[i] for i in own[0].tolist()] == ["cat", "rain", "snow"]


class Killed(SilentProgress):
    def __init__(self, steps: int) -> None:
        self.left = steps

    def track(self, items: Sequence[Any], label: str, done: int = 0) -> Iterator[Any]:
        for item in items[done:]:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            yield item


@pytest.mark.parametrize("killed_after", [1, 3, 6])
def test_a_killed_fine_tuning_goes_on_with_the_same_result(
    tiny: StableDiffusionPipeline, mixture: Mixture, pairs: Pairs, tmp_path: Path, killed_after: int
) -> None:
    whole = tuned(mixture, tiny, pairs, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        broken = {"seed": 5, "folder": tmp_path / "broken", "device": CPU}
        finetune(mixture, tiny, pairs, CONFIG, progress=Killed(killed_after), **broken)
    resumed = tuned(mixture, tiny, pairs, tmp_path / "broken")
    assert all(same(whole.experts[i], resumed.experts[i]) for i in range(2))


def test_distillation_brings_an_expert_nearer_to_the_teacher(
    tiny: StableDiffusionPipeline, mixture: Mixture, pairs: Pairs, tmp_path: Path
) -> None:
    tuned(mixture, tiny, pairs, tmp_path, steps=40, lr=5e-3)
    rows = [line for line in (tmp_path / "expert-01" / "history.jsonl").read_text().splitlines()]
    first, last = (torch.tensor([_value(row, "loss") for row in part]).mean() for part in (rows[:5], rows[-5:]))
    assert last < 0.7 * first


def test_the_loss_is_equation_30(tiny: StableDiffusionPipeline, mixture: Mixture, pairs: Pairs, tmp_path: Path) -> None:
    tuned(mixture, tiny, pairs, tmp_path, alpha_ddpm=0.3, alpha_distill=2.0)
    for row in (tmp_path / "expert-00" / "history.jsonl").read_text().splitlines():
        denoising, output, blocks = (_value(row, name) for name in ("denoising", "output", "blocks"))
        assert _value(row, "loss") == pytest.approx(0.3 * denoising + 2.0 * (output + blocks), rel=1e-5)


def test_the_mid_block_can_be_left_out_of_the_loss(
    tiny: StableDiffusionPipeline, mixture: Mixture, pairs: Pairs, tmp_path: Path
) -> None:
    for name in ("with", "without"):
        tuned(mixture, tiny, pairs, tmp_path / name, steps=1, blocks="sum", mid_block=name == "with")
    rows = [(tmp_path / name / "expert-00" / "history.jsonl").read_text() for name in ("with", "without")]
    assert _value(rows[0], "blocks") > _value(rows[1], "blocks") > 0
    assert _value(rows[0], "output") == _value(rows[1], "output")


def test_total_steps_are_divided_by_the_number_of_pairs(
    tiny: StableDiffusionPipeline, mixture: Mixture, pairs: Pairs, tmp_path: Path
) -> None:
    tuned(mixture, tiny, pairs, tmp_path, steps=16, share="total", batch=2)
    lengths = [len((tmp_path / f"expert-0{i}" / "history.jsonl").read_text().splitlines()) for i in range(2)]
    assert lengths == [6, 10]


def test_accumulated_parts_tune_as_the_whole_batch_does(
    tiny: StableDiffusionPipeline, mixture: Mixture, pairs: Pairs, tmp_path: Path
) -> None:
    whole = tuned(mixture, tiny, pairs, tmp_path / "whole", steps=1, drop_text=0.5)
    split = tuned(mixture, tiny, pairs, tmp_path / "split", steps=1, drop_text=0.5, accumulate=3)
    rows = [(tmp_path / name / "expert-01" / "history.jsonl").read_text() for name in ("whole", "split")]
    assert _value(rows[0], "loss") == pytest.approx(_value(rows[1], "loss"), rel=1e-4)
    for p, q in zip(whole.experts[1].parameters(), split.experts[1].parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=2.1e-2)  # AdamW's first step is lr times the sign


class Told(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_an_expert_without_pairs_is_left_as_it_was_and_named(
    tiny: StableDiffusionPipeline, mixture: Mixture, pairs: Pairs, tmp_path: Path
) -> None:
    progress, where = Told(), {"seed": 5, "folder": tmp_path, "device": CPU}
    result = finetune(mixture, tiny, pairs.subset([1, 3]), CONFIG, progress=progress, **where)
    assert progress.lines == ["expert 1 of 2 serves no training prompt: left as it was pruned"]
    assert same(result.experts[0], mixture.experts[0]) and not same(result.experts[1], mixture.experts[1])


def test_dropped_prompts_read_the_empty_text(
    tiny: StableDiffusionPipeline, mixture: Mixture, pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    observe = module.diffusion.observe

    def spy(unet: Any, noised: Any, *how: Any) -> Any:
        seen.append(noised.text)
        return observe(unet, noised, *how)

    monkeypatch.setattr(module.diffusion, "observe", spy)
    tuned(mixture, tiny, pairs, tmp_path, batch=200, steps=1, drop_text=0.25)
    empty = module.encode_text(tiny, [""])
    share = (seen[0] == empty).flatten(1).all(1).float().mean()
    assert 0.1 < float(share) < 0.4
    assert torch.equal(seen[0], seen[1])  # teacher and student read the same


def test_one_expert_is_a_mixture_too(tiny: StableDiffusionPipeline, pairs: Pairs, tmp_path: Path) -> None:
    result = tuned(Mixture.of_one(tiny.unet), tiny, pairs, tmp_path, steps=1)
    assert len(result) == 1 and not same(result.experts[0], tiny.unet)


def _value(row: str, name: str) -> float:
    import json

    return json.loads(row)[name]
