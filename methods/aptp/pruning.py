"""APTP from a job to a mixture: embed the prompts, search, align if need be, land on the budget, cut."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from aptp_bench.core.lazy import OnDemand
from aptp_bench.core.noise import generator, stage_seed
from aptp_bench.core.precision import products
from aptp_bench.core.settings import TrainConfig
from aptp_bench.methods.aptp import controls
from aptp_bench.methods.aptp.config import APTPConfig
from aptp_bench.methods.aptp.controls import KindRouter, by_kind, by_lot
from aptp_bench.methods.aptp.diagnostics import diagnostics, missed
from aptp_bench.methods.aptp.encoder import PromptEncoder, default
from aptp_bench.methods.aptp.gumbel import Relaxation, outside_in
from aptp_bench.methods.aptp.landing import landed
from aptp_bench.methods.aptp.predictor import Architect
from aptp_bench.methods.aptp.report import Report, Spread, report, spread
from aptp_bench.methods.aptp.router import CosineRouter
from aptp_bench.methods.aptp.routing import Routing
from aptp_bench.methods.aptp.search import Search
from aptp_bench.methods.aptp.transport import Similarity
from aptp_bench.models.mixture import ConstantRouter, Mixture, Router
from aptp_bench.plugins import Job
from aptp_bench.pruning.cost import Cost
from aptp_bench.pruning.gates import Gated, GateSpace
from aptp_bench.pruning.macs import example_inputs
from aptp_bench.pruning.surgery import cut
from aptp_bench.training import fit
from aptp_bench.training.diffusion import Noising
from aptp_bench.training.loop import Loss, frozen, train
from aptp_bench.training.step_cost import step_cost

Rows = list[dict[str, Any]]
ATTEMPTS = 5  # alignments in a row, each from where the last one stopped


def prune(job: Job, config: APTPConfig) -> Mixture:
    """The experts in order of their cost, cut from the teacher when asked for, and the router over them."""
    encoder = None if config.uni_arch else PromptEncoder(config.encoder or default(job.scale), job.device)
    kinds = by_kind(job, encoder, config) if encoder is not None and config.routes == "kinds" else None
    with searching(job, config, encoder, kinds) as search:
        history = _run(search, job)
        before = _aligned(search, job)
        control = kinds or (by_lot(search.routes(), config.codes, job.seed) if config.routes == "shuffled" else None)
        routes = search.routes() if control is None else control(job.train.captions)
        found = landed(search, routes, job.seed)
        numbers = diagnostics(search, found, routes, history, job)
    if remark := missed(search, history):
        job.progress.say(f"APTP: {remark}")
    order = found.ratios.argsort()
    found = replace(found, keep=found.keep[order], ratios=found.ratios[order])
    unet, space = job.teacher.unet, search.gated.space
    experts = OnDemand(lambda i: cut(unet, space, found.keep[i]), len(order))
    if encoder is None:
        router: Router = ConstantRouter(history=history)
    elif control is not None:
        router = control.reordered(order)
    else:
        served = order.argsort()[routes]
        about = report(found, served, job.train.captions, search.cost, job.budget, before)
        router = _learned(search, encoder, order, about)
    router.history, router.diagnostics = history, {**numbers, **(control.diagnostics if control else {})}
    return Mixture(experts, router, remark)


def schedule(config: APTPConfig, steps: int, parts: int = 1) -> TrainConfig:
    """The settings of the loop that runs one stage of the search. parts: those of a process's share of the batch."""
    kept = config.model_dump(include={"batch", "weight_decay", "checkpoint_every"})
    lr = config.lr * math.sqrt(config.batch) if config.lr_scale == "sqrt_batch" else config.lr
    return TrainConfig(steps=steps, lr=lr, warmup=config.lr_warmup, accumulate=parts, **kept)


@contextmanager
def searching(
    job: Job, config: APTPConfig, encoder: PromptEncoder | None, kinds: KindRouter | None = None
) -> Iterator[Search]:
    """A search over the job's frozen teacher, gates installed; the teacher is put back as it was.

    kinds: who routes instead of a predictor, to a code a kind.
    """
    unet = job.teacher.unet
    space = GateSpace.of(unet)
    nested = config.depth_gates == "nested"
    order = (config.depth_order or outside_in(len(space.depths))) if nested else ()
    relaxation = Relaxation(space, config.temperature, config.offset, config.noise, order, config.guard)
    codes, fixed, targets = config.codes, None, None
    if encoder is None:
        fixed = torch.zeros(len(job.train), dtype=torch.long)
    elif kinds is not None:
        codes, fixed = len(kinds.names), kinds(job.train.captions)
        loads = torch.bincount(fixed, minlength=codes)
        targets = controls.targets(kinds.names, config.sizes, loads, job.budget)
    elif config.architectures == "equal":
        targets = torch.full((codes,), job.budget.ratio, dtype=torch.float64)
    learned = encoder if fixed is None else None
    prompts = torch.zeros(len(job.train), 1) if learned is None else learned(job.train.captions)
    width = None if learned is None else prompts.shape[1]
    architect = Architect(width, space.size, codes, generator("aptp", job.seed)).to(job.device)
    inputs = example_inputs(unet, tokens=job.tokens)
    with frozen(unet), Gated(unet, space, config.placement) as gated:
        yield Search(
            gated=gated,
            pairs=job.train,
            prompts=prompts,
            noising=Noising.of(job.teacher.scheduler),
            cost=Cost.of(unet, space, inputs, job.budget.convention),
            budget=job.budget,
            routing=Routing(architect, relaxation, Similarity.of(space, config.similarity)),
            config=config,
            fixed=fixed,
            targets=targets,
        )


def _run(search: Search, job: Job) -> Rows:
    """Stages 1a and 1b; what every step reported. Uni-Arch has no predictor to warm up: all steps train its code."""
    config, architect = search.config, search.architect
    warm: Rows = []
    parts = _parts(search, job)
    with products(config.precision), fit.checkpointed(search.gated.unet, config.gradient_checkpointing):
        if architect.predictor is not None:
            warm = _train(architect.predictor, search.warm, schedule(config, config.warmup_steps, parts), job, "warmup")
        architect.begin_codes(config.init, search.prompts, generator("codes", job.seed))
        steps = config.joint_steps + (config.warmup_steps if architect.predictor is None else 0)
        return warm + _train(architect, search.joint, schedule(config, steps, parts), job, "joint")


def _parts(search: Search, job: Job) -> int:
    """In how many parts this process computes its share of a batch."""
    config, unet = search.config, search.gated.unet
    teacher = unet if config.distillation else None
    size = search.pairs.latents.shape[-1]
    count = partial(step_cost, unet, teacher, "gates", size, job.tokens, config.gradient_checkpointing)
    return fit.parts(config.accumulate, config.batch, config.precision, job.device, count)


def _aligned(search: Search, job: Job) -> Spread | None:
    """Fit the predictor to the transport plan while eq. 22 leaves an expert (nearly) without prompts, a few times at most.

    Returns the spread of the prompts before that, None if nothing was done.
    """
    config, predictor, before = search.config, search.architect.predictor, None
    settings = TrainConfig(steps=config.align_steps, batch=config.batch, lr=config.align_lr)
    if predictor is None or not (config.transport and config.align_steps):
        return None
    for attempt in range(ATTEMPTS):
        loads = torch.bincount(search.routes(), minlength=config.codes)
        if int(loads.min()) >= max(1.0, config.align_below * len(search.pairs) / config.codes):
            break
        before = before or spread(loads)
        _train(predictor, partial(search.align, search.plan()), settings, job, f"alignment-{attempt + 1}")
    return before


def _train(module: nn.Module, loss: Loss, config: TrainConfig, job: Job, stage: str) -> Rows:
    """Run one stage in its own folder with its own random numbers; its rows, marked with its name."""
    folder, label = job.workdir / stage, f"APTP {stage}"
    rows = train(
        module, loss, config, seed=stage_seed(job.seed, stage), folder=folder, progress=job.progress, label=label
    )
    return [{"stage": stage, **row} for row in rows]


def _learned(search: Search, encoder: PromptEncoder, order: Tensor, about: Report) -> CosineRouter:
    """The router of eq. 22 over the codes in the order of their experts."""
    state = {name: tensor.detach().cpu() for name, tensor in search.architect.state_dict().items()}
    served = replace(search.routing, architect=Architect.of({**state, "codes": state["codes"][order]}))
    balance = search.transport if search.config.transport else None
    return CosineRouter(PromptEncoder(encoder.name), served, about, balance=balance)
