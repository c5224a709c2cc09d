"""Fine-tuning of a mixture: every expert on the pairs that the router sends to it, by distillation from the dense network.

Paper: APTP, arXiv:2406.12042, eqs. 22 (which pairs) and 30 (the loss). One expert is a mixture too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import AttentionPooling
from torch import Tensor, nn

from aptp_bench.core.lazy import OnDemand
from aptp_bench.core.noise import expert_seed, generator
from aptp_bench.core.precision import products
from aptp_bench.core.progress import Progress, SilentProgress
from aptp_bench.core.settings import FinetuneConfig
from aptp_bench.errors import TrainingError
from aptp_bench.models.mixture import Mixture
from aptp_bench.pruning.surgery import clone
from aptp_bench.training import diffusion, fit
from aptp_bench.training.diffusion import Draw, Noising
from aptp_bench.training.latents import Batch, Pairs, encode_text
from aptp_bench.training.loop import Part, frozen, read_trained, train
from aptp_bench.training.step_cost import step_cost

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline


@dataclass(frozen=True)
class Lesson:
    """What does not change between experts. empty: the empty prompt's text, [1, L, d]."""

    teacher: UNet2DConditionModel
    pairs: Pairs
    noising: Noising
    empty: Tensor
    config: FinetuneConfig
    seed: int
    folder: Path
    device: torch.device
    progress: Progress


def finetune(  # noqa: PLR0913 - what, by whom, on what, how, and where
    mixture: Mixture,
    teacher: StableDiffusionPipeline,
    pairs: Pairs,
    config: FinetuneConfig,
    *,
    seed: int,
    folder: Path,
    device: torch.device,
    progress: Progress | None = None,
) -> Mixture:
    """A mixture of fine-tuned copies of the experts, under the same router; what is given is left as it was.

    The networks of `teacher` are on `device`. The state is kept in `folder`, expert by expert and step by step: called
    again, it goes on where it stopped, with the same result. The experts of the result are read from `folder` when
    asked for. An expert that serves no pair is not trained. Raises TrainingError if one diverges.
    """
    lesson = Lesson(
        teacher=teacher.unet,
        pairs=pairs,
        noising=Noising.of(teacher.scheduler),
        empty=encode_text(teacher, [""], device).float(),
        config=config,
        seed=seed,
        folder=Path(folder),
        device=torch.device(device),
        progress=progress or SilentProgress(),
    )
    members = shares(mixture, pairs)
    steps = config.steps_each([len(own) for own in members])
    for i, own in enumerate(members):
        if not len(own):
            left = "its new weights are left as drawn" if config.reset else "left as it was pruned"
            lesson.progress.say(f"expert {i + 1} of {len(mixture)} serves no training prompt: {left}")
    for i in range(len(mixture)):
        tune(mixture.experts[i], members[i], steps[i], lesson, i)
    return mixture.with_experts(OnDemand(lambda i: tuned(mixture.experts[i], steps[i], lesson, i), len(mixture)))


def shares(mixture: Mixture, pairs: Pairs) -> list[Tensor]:
    """The indices of the pairs that each expert serves, int64, by the rule used at sampling (eq. 22)."""
    ids = mixture.route(pairs.captions)
    return [torch.nonzero(ids == i)[:, 0] for i in range(len(mixture))]


def tune(expert: UNet2DConditionModel, members: Tensor, steps: int, lesson: Lesson, index: int) -> None:
    """Train a copy of one expert on the pairs `members` for `steps`; it is left in its folder. Every process takes part."""
    config = lesson.config
    student = fit.sharded(_beginning(expert, lesson, index), config.shard)
    with frozen(lesson.teacher), products(config.precision), fit.checkpointed(student, config.gradient_checkpointing):
        train(
            student,
            partial(_loss, student, members, lesson),
            config.training(steps, _parts(expert, lesson)),
            seed=expert_seed(lesson.seed, index),
            folder=_folder(lesson, index),
            progress=lesson.progress,
            label=f"fine-tune expert {index + 1}",
        )


def tuned(expert: UNet2DConditionModel, steps: int, lesson: Lesson, index: int) -> UNet2DConditionModel:
    """What `tune` left of an expert. One process can ask for it alone: nothing here waits for another."""
    student, config = _beginning(expert, lesson, index), lesson.config.training(steps, parts=1)
    read_trained(student, config, seed=expert_seed(lesson.seed, index), folder=_folder(lesson, index))
    return student.requires_grad_(False)


def _beginning(expert: UNet2DConditionModel, lesson: Lesson, index: int) -> UNet2DConditionModel:
    """The copy that training begins with, on the device."""
    student = clone(expert).requires_grad_(True).eval()
    if lesson.config.reset:
        reset_(student.cpu(), expert_seed(lesson.seed, index))
    return student.to(lesson.device)


def _folder(lesson: Lesson, index: int) -> Path:
    return lesson.folder / f"expert-{index:02d}"


def _parts(expert: UNet2DConditionModel, lesson: Lesson) -> int:
    """In how many parts this process computes its share of a batch."""
    config = lesson.config
    size, tokens = lesson.pairs.latents.shape[-1], lesson.empty.shape[1]
    count = partial(step_cost, expert, lesson.teacher, "weights", size, tokens, config.gradient_checkpointing)
    return fit.parts(config.accumulate, config.batch, config.precision, lesson.device, count, config.shard)


def reset_(network: nn.Module, seed: int) -> None:
    """Draw every weight anew, in place and on the CPU, as new layers of PyTorch and diffusers do. The seed decides.

    Raises TrainingError for parameters of a module that cannot draw them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(generator("reset", seed).initial_seed())
        for path, module in network.named_modules():
            own = dict(module.named_parameters(recurse=False))
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
            elif isinstance(module, AttentionPooling):
                nn.init.normal_(module.positional_embedding, std=module.positional_embedding.shape[-1] ** -0.5)
            elif own:
                raise TrainingError(f"'{path}' cannot draw {', '.join(own)} anew; leave out finetune.reset")


def _loss(
    student: UNet2DConditionModel, members: Tensor, lesson: Lesson, step: int, generator: torch.Generator, part: Part
) -> dict[str, Tensor]:
    """Eq. 30 over this part's rows of the step's batch."""
    config, noising = lesson.config, lesson.noising
    drawn = members[torch.randint(len(members), (config.batch,), generator=generator)]
    draw = Draw.of(noising, (config.batch, *lesson.pairs.latents.shape[1:]), generator)
    dropped = torch.rand(config.batch, generator=generator) < config.drop_text
    rows = part.rows(config.batch)
    batch = lesson.pairs.batch(drawn[rows], lesson.device)
    text = torch.where(dropped[rows].to(batch.text.device)[:, None, None], lesson.empty.to(batch.text), batch.text)
    noised = draw.apply(noising, Batch(batch.latents, text), rows, config.snr_gamma)
    ends = diffusion.early_ends(student, lesson.teacher)
    with torch.no_grad():
        taught = diffusion.observe(lesson.teacher, noised, config.precision, ends)
    seen = diffusion.observe(student, noised, config.precision, ends)
    terms = diffusion.compared(seen, taught, noised, config.blocks, config.mid_block)
    means = {name: term.sum() * part.of / config.batch for name, term in terms.items()}
    means["output"], means["blocks"] = (
        means["output"] * config.output_distillation, means["blocks"] * config.block_distillation
    )  # fmt: skip
    loss = config.alpha_ddpm * means["denoising"] + config.alpha_distill * (means["output"] + means["blocks"])
    return {"loss": loss, **means}
