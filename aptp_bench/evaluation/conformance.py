"""What every method must keep to, tried on a small Stable Diffusion with random weights.

`aptp-bench check METHOD` runs them on any registered method, ours and third-party ones, in seconds: quality is not looked
at, everything else is. A promise is a function that raises BrokenPromise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from aptp_bench import registry
from aptp_bench.budget import CONVENTIONS, TOLERANCE, Budget
from aptp_bench.contracts.method import Job, Method
from aptp_bench.core.noise import generator
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.settings import SamplingConfig
from aptp_bench.errors import AptpBenchError, BudgetError
from aptp_bench.generation.sampling import Sampler
from aptp_bench.models.mixture import Mixture, given_back
from aptp_bench.models.stable_diffusion import Geometry
from aptp_bench.pruning.macs import count, example_inputs, parameters
from aptp_bench.training.latents import Pairs, encode_text

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

BUDGETS = (Budget(ratio=0.8), Budget(ratio=0.7, convention="aptp"), Budget(ratio=0.9, convention="modules"))
WHOLE = Budget(ratio=1.0)  # for methods that remove nothing
SEED, PAIRS, TOKENS = 7, 48, 77
SCALE: Literal["smoke"] = "smoke"  # a method's settings are its own for this scale
SAMPLING = SamplingConfig()

SMALL = Geometry(
    unet={
        "sample_size": 8,
        "block_out_channels": (16, 16, 32, 32),
        "attention_head_dim": [2, 2, 4, 4],
        "cross_attention_dim": 32,
        "use_linear_projection": True,
        "norm_num_groups": 8,
    },
    vae={
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "block_out_channels": (8, 8),
        "layers_per_block": 1,
        "latent_channels": 4,
        "norm_num_groups": 4,
        "sample_size": 16,
    },
    text={
        "vocab_size": 514,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "projection_dim": 32,
        "max_position_embeddings": TOKENS,
        "bos_token_id": 512,
        "eos_token_id": 513,
    },
)


class BrokenPromise(Exception):
    """What was promised and what came."""


@dataclass(frozen=True)
class Verdict:
    """One promise of one method: kept, or why not."""

    promise: str
    kept: bool
    why: str = ""


@dataclass(frozen=True)
class Trial:
    """A method at work on a small teacher of its own; folders are made in `root`."""

    method: Method
    teacher: StableDiffusionPipeline
    train: Pairs
    root: Path

    @classmethod
    def of(cls, method: Method, root: Path) -> Trial:
        """Everything random comes from one seed."""
        teacher = SMALL.build(SEED)
        captions = [f"{number} {thing} {where}" for where in _PLACES for thing in _THINGS for number in _NUMBERS]
        latents = torch.randn(PAIRS, 4, 8, 8, generator=generator("contract", SEED))
        return cls(method, teacher, Pairs(captions[:PAIRS], latents, encode_text(teacher, captions[:PAIRS])), root)

    def prune(self, budget: Budget, again: int = 0) -> Mixture:
        """One pruning with a folder of its own and another state of torch's global generator each time."""
        workdir = self.root / f"{budget.convention}-{budget.ratio:g}-{again}"
        workdir.mkdir(parents=True, exist_ok=True)  # there where an attempt was refused: the next promise tries it anew
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(again)
            cpu = torch.device("cpu")
            about = (budget, SEED, cpu, workdir, SilentProgress(), SCALE, SAMPLING)
            return given_back(self.method.prune(Job(self.teacher, self.train, *about)), self.method.name)

    @cached_property
    def attempts(self) -> dict[Budget, Mixture | BudgetError]:
        """What every budget led to."""
        found: dict[Budget, Mixture | BudgetError] = {}
        for budget in (*BUDGETS, WHOLE):
            if budget is WHOLE and any(isinstance(each, Mixture) for each in found.values()):
                break
            try:
                found[budget] = self.prune(budget)
            except BudgetError as err:
                found[budget] = err
        return found

    @property
    def result(self) -> tuple[Budget, Mixture]:
        """The first budget that was met, and what came of it."""
        met = [(budget, each) for budget, each in self.attempts.items() if isinstance(each, Mixture)]
        if not met:
            raise BrokenPromise(f"every budget was refused, the whole one too ({self.attempts[WHOLE]})")
        return met[0]

    def cost(self, mixture: Mixture, convention: Any) -> float:
        """MACs of a mixture over the training prompts and the calls of an image, as a share of the teacher's."""
        routes = mixture.route(list(self.train.captions))
        calls = Sampler.of(self.teacher, SAMPLING, plan=mixture.plan).calls
        inputs = example_inputs(self.teacher.unet, tokens=TOKENS)
        costs = [calls.macs(unet, inputs, convention) for unet in mixture.experts]
        return float(torch.tensor(costs, dtype=torch.float64)[routes].mean()) / _dense(self.teacher, convention)


def budget_met(trial: Trial) -> None:
    """within 0.5 % of the budget, or below it with a remark, or refused with a reason"""
    for budget, found in trial.attempts.items():
        if isinstance(found, BudgetError):
            if not str(found) or "\n" in str(found):
                raise BrokenPromise(
                    f"budget {budget.ratio:g} ({budget.convention}) was refused without one line of why"
                )
            continue
        missed = budget.missed_by(trial.cost(found, budget.convention))
        if missed > TOLERANCE or (missed < -TOLERANCE and not found.remark):
            rule = "more than the budget" if missed > 0 else "less, without a remark that says why"
            said = f"budget {budget.ratio:g} ({budget.convention})"
            raise BrokenPromise(f"{said} was missed by {missed:+.2%} of the dense MACs: {rule}")


def teacher_unchanged(trial: Trial) -> None:
    """the teacher and the training pairs are left as they were"""
    before = Trial.of(trial.method, trial.root)
    trial.result  # noqa: B018 - pruning is what might change something
    for name in ("unet", "vae", "text_encoder"):
        if _digest(getattr(trial.teacher, name)) != _digest(getattr(before.teacher, name)):
            raise BrokenPromise("the teacher's weights, modes, hooks or gradients are not what they were")
    for name in ("latents", "text"):
        if not torch.equal(getattr(trial.train, name), getattr(before.train, name)):
            raise BrokenPromise(f"the {name} of the training pairs are not what they were")


def deterministic(trial: Trial) -> None:
    """the same seed gives the same mixture, whatever torch's global generator holds"""
    budget, first = trial.result
    said = ("two prunings with one seed route prompts differently", "two prunings with one seed differ in expert {}")
    _alike(trial, first, trial.prune(budget, again=1), *said)


def saved_and_loaded(trial: Trial) -> None:
    """saved and loaded, a mixture routes and computes the same, bit for bit"""
    _, mixture = trial.result
    mixture.save(trial.root / "saved")
    said = ("the loaded router sends prompts elsewhere", "the loaded expert {} computes something else")
    _alike(trial, mixture, Mixture.load(trial.root / "saved"), *said)


def runs_anywhere(trial: Trial) -> None:
    """experts run at other resolutions and batch sizes, forward and backward"""
    for i, unet in enumerate(trial.result[1].experts):
        for batch, size in ((1, (8, 8)), (3, (16, 16)), (2, (8, 24)), (1, (12, 20))):
            made = _output(unet, batch, size)
            if made.shape != (batch, 4, *size) or not made.isfinite().all():
                raise BrokenPromise(
                    f"expert {i} turns a batch of {batch} at {size} into {tuple(made.shape)}, or not finite"
                )
        with _gradients(unet, True):
            unet(**_inputs()).sample.square().mean().backward()
            idle = [name for name, parameter in unet.named_parameters() if parameter.grad is None]
        if idle:
            raise BrokenPromise(f"fine-tuning would not reach '{idle[0]}' of expert {i}")


def never_larger(trial: Trial) -> None:
    """no expert has more MACs, by any convention, or more parameters than the dense network"""
    inputs = example_inputs(trial.teacher.unet, tokens=TOKENS)
    for i, unet in enumerate(trial.result[1].experts):
        larger: list[str] = [
            name for name in CONVENTIONS if count(unet, inputs, name).total > _dense(trial.teacher, name)
        ]
        larger += ["parameters"] if parameters(unet) > parameters(trial.teacher.unet) else []
        if larger:
            raise BrokenPromise(f"expert {i} has more than the dense network: {', '.join(larger)}")


PROMISES: Sequence[Callable[[Trial], None]] = (
    budget_met,
    teacher_unchanged,
    deterministic,
    saved_and_loaded,
    runs_anywhere,
    never_larger,
)


def check(name: str, root: Path, **settings: Any) -> Iterator[Verdict]:
    """Try every promise of the registered method `name`; folders are made in `root`.

    Raises UnknownNameError, ConfigError, and what the method itself raises beside BudgetError.
    """
    kind: type[Method] = registry.get("methods", name)
    method = kind(**{**kind.presets.get(SCALE, {}), **settings})
    method.check(SCALE)
    trial = Trial.of(method, root)
    for promise in PROMISES:
        try:
            promise(trial)
            yield Verdict(str(promise.__doc__), True)
        except (BrokenPromise, AptpBenchError) as err:
            yield Verdict(str(promise.__doc__), False, str(err))


_THINGS = ("cats", "boats", "pizzas", "clocks")
_PLACES = ("in snow", "on a beach", "at night", "in a kitchen")
_NUMBERS = ("two", "three", "many")


def _alike(trial: Trial, one: Mixture, other: Mixture, routed: str, computed: str) -> None:
    """Raise BrokenPromise with `routed`, or `computed` and the expert's number, unless both are the same bit for bit."""
    if one.plan != other.plan:
        raise BrokenPromise(f"the calls of an image are planned in two ways: {one.plan!r} and {other.plan!r}")
    captions = list(trial.train.captions)
    if not torch.equal(one.route(captions), other.route(captions)):
        raise BrokenPromise(routed)
    for i, (ours, theirs) in enumerate(zip(one.experts, other.experts, strict=True)):
        if not torch.equal(_output(ours), _output(theirs)):
            raise BrokenPromise(computed.format(i))


def _dense(teacher: StableDiffusionPipeline, convention: Any) -> int:
    return count(teacher.unet, example_inputs(teacher.unet, tokens=TOKENS), convention).total


def _inputs(batch: int = 2, size: tuple[int, int] = (8, 8)) -> dict[str, Tensor]:
    drawn = generator("contract-inputs", SEED)
    return {
        "sample": torch.randn(batch, 4, *size, generator=drawn),
        "timestep": torch.randint(0, 1000, (batch,), generator=drawn),
        "encoder_hidden_states": torch.randn(batch, TOKENS, 32, generator=drawn),
    }


@torch.no_grad()
def _output(unet: Any, batch: int = 2, size: tuple[int, int] = (8, 8)) -> Tensor:
    """A network's output, or BrokenPromise."""
    try:
        with _gradients(unet, False):  # torch picks its kernels by this flag too, and they round differently
            return unet(**_inputs(batch, size)).sample
    except (RuntimeError, ValueError, AssertionError) as err:
        raise BrokenPromise(f"a network fails on a batch of {batch} at {size}: {err}") from err


@contextmanager
def _gradients(unet: Any, wanted: bool) -> Iterator[None]:
    """All parameters require gradients, or none does; afterwards everything is as it was."""
    before = [(parameter, parameter.requires_grad, parameter.grad) for parameter in unet.parameters()]
    try:
        unet.requires_grad_(wanted)
        yield
    finally:
        for parameter, required, gradient in before:
            parameter.requires_grad_(required).grad = gradient


def _digest(network: Any) -> str:
    """Digest of a network: weights, what requires a gradient or has one, modes, hooks."""
    seen = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        seen.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    for name, parameter in network.named_parameters():
        seen.update(f"{name}{parameter.requires_grad}{parameter.grad is None}".encode())
    for name, module in network.named_modules():
        hooks = len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks)
        seen.update(f"{name}{type(module).__name__}{module.training}{hooks}".encode())
    return seen.hexdigest()
