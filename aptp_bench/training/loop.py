"""One training loop for everything that is trained here: resumable bit for bit, on one device or many.

A step is a function of (seed, step) and of the parameters, and of nothing else. The loss draws the whole global batch
from the step's generator and computes its own part of it, so neither the number of processes nor the number of
accumulated parts changes what is drawn. "Bit for bit" holds as far as the device's kernels are deterministic.
Several processes average their gradients by torch's DistributedDataParallel, or share a network by its FSDP (training.fit).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from aptp_bench.core.distributed import Ranks
from aptp_bench.core.documents import execution
from aptp_bench.core.files import write_text, write_whole
from aptp_bench.core.noise import generator
from aptp_bench.core.progress import Progress
from aptp_bench.core.settings import TrainConfig
from aptp_bench.core.tensors import gathered, shared, shared_like
from aptp_bench.errors import CheckpointError, TrainingError

STATE, HISTORY = "state.safetensors", "history.jsonl"
MOMENTS = ("exp_avg", "exp_avg_sq")  # of AdamW, a tensor a parameter
Row = dict[str, Any]  # what one step reports: floats, and lists of floats


@dataclass(frozen=True)
class Part:
    """Which share of the global batch a loss computes: number `index` of `of` slices of neighbouring rows."""

    index: int = 0
    of: int = 1

    def rows(self, n: int) -> slice:
        """This part's rows of n; the parts tile the batch."""
        return slice(self.index * n // self.of, (self.index + 1) * n // self.of)


Loss = Callable[[int, torch.Generator, Part], dict[str, Tensor]]


def train(
    module: nn.Module, loss: Loss, config: TrainConfig, *, seed: int, folder: Path, progress: Progress, label: str
) -> list[Row]:
    """Train the parameters of `module` that require gradients, in place, from the last checkpoint in `folder` on.

    `loss(step, generator, part)` returns {"loss": scalar, ...}; the mean of "loss" over all parts is what is
    minimised, the rest is reported. Returns one row a step. Raises TrainingError if the loss is not finite,
    CheckpointError if `folder` holds another training.
    """
    ranks = Ranks.here()
    optimizer = torch.optim.AdamW(_trained(module).values(), lr=config.lr, weight_decay=config.weight_decay)
    checkpoint = Checkpoint(folder, module, optimizer, _identity(config, seed))
    history = checkpoint.load()
    objective = _averaged(Objective(module, loss), ranks)
    for step in progress.track(range(config.steps), label, done=len(history)):
        for group in optimizer.param_groups:
            group["lr"] = config.lr_at(step)
        history.append(_one_step(objective, optimizer, config, (seed, step, label)))
        progress.report(label, history[-1])
        if (step + 1) % config.checkpoint_every == 0 or step + 1 == config.steps:
            checkpoint.save(history, ranks, final=step + 1 == config.steps)
    return history


def read_trained(module: nn.Module, config: TrainConfig, *, seed: int, folder: Path) -> None:
    """The parameters that `train` left in `folder` at its end, into `module`; no other process is waited for.

    Raises CheckpointError if it did not end there.
    """
    history = Checkpoint(folder, module, None, _identity(config, seed)).load()
    if len(history) != config.steps:
        raise CheckpointError(
            f"the training in {folder} stopped after {len(history)} of {config.steps} steps; run again"
        )


def _identity(config: TrainConfig, seed: int) -> str:
    return json.dumps({"seed": seed, **config.model_dump(exclude=execution(TrainConfig))}, sort_keys=True)


class Objective(nn.Module):
    """The loss of a module as a module, so that its forward pass gives the terms of a part."""

    def __init__(self, module: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.module, self.loss = module, loss
        # trained by nobody: where a loss touches no parameter it touches this one, or other processes wait for ever
        self.root = nn.Parameter(torch.zeros((), device=next(module.parameters()).device))

    def forward(self, step: int, generator: torch.Generator, part: Part) -> dict[str, Tensor]:
        """The terms; of these "loss" alone has gradients."""
        terms = self.loss(step, generator, part)
        loss = terms["loss"] if terms["loss"].requires_grad else terms["loss"] + 0.0 * self.root
        return {**{name: term.detach() for name, term in terms.items()}, "loss": loss}


def _averaged(objective: Objective, ranks: Ranks) -> nn.Module:
    """The objective, whose backward pass leaves gradients that are means over the processes, as FSDP's does by itself.

    A parameter that one process's rows did not touch counts as zero there; one that none touched has no gradient.
    """
    if ranks.size == 1 or shared(objective.module):
        return objective
    return DistributedDataParallel(objective, find_unused_parameters=True, gradient_as_bucket_view=True)


def _one_step(
    objective: nn.Module, optimizer: torch.optim.Optimizer, config: TrainConfig, at: tuple[int, int, str]
) -> Row:
    """Forward, backward and update of one step; the mean of what its parts report."""
    ranks, (seed, step, label) = Ranks.here(), at
    optimizer.zero_grad(set_to_none=True)
    seen: list[dict[str, Tensor]] = []
    for i in range(config.accumulate):
        part = Part(ranks.rank * config.accumulate + i, ranks.size * config.accumulate)
        several = isinstance(objective, DistributedDataParallel) and i + 1 < config.accumulate
        with cast(DistributedDataParallel, objective).no_sync() if several else nullcontext():
            terms = objective(step, generator("step", seed, step), part)
            (terms["loss"] / config.accumulate).backward()
        seen.append({name: term.detach().float() for name, term in terms.items()})
    row = _means(seen, ranks)
    if not math.isfinite(row["loss"]):
        raise TrainingError(
            f"{label} diverged at step {step} (loss {row['loss']}); lower its learning rate, now {config.lr:g}"
        )
    if config.clip is not None:
        nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], config.clip)
    optimizer.step()
    return {"step": step, **row}


class Checkpoint:
    """Parameters, optimiser moments and history in a folder; replaced as a whole or not at all.

    optimizer: None where only a final state is read, which has no moments.
    """

    def __init__(self, folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer | None, identity: str) -> None:
        self.folder, self.module, self.optimizer, self.identity = folder, module, optimizer, identity
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, history: list[Row], ranks: Ranks, *, final: bool) -> None:
        """Write the state after len(history) steps, as the first process; each calls this, and returns when it is written.

        A final state needs no moments, a third of the size.
        """
        found = {f"param.{name}": p.detach() for name, p in _trained(self.module).items()}
        if not final:
            found.update(self._moments())
        tensors = {}
        for name, tensor in found.items():
            whole = gathered(tensor)
            if ranks.first:
                tensors[name] = whole.cpu().contiguous()
        if ranks.first:
            write_text(self.folder / HISTORY, "".join(json.dumps(row) + "\n" for row in history))
            metadata = {"step": str(len(history)), "identity": self.identity}
            write_whole(self.folder / STATE, lambda path: save_file(tensors, path, metadata=metadata))
        ranks.wait()

    def load(self) -> list[Row]:
        """Restore the last state; the history up to it, empty if there is none. Raises CheckpointError."""
        if not (self.folder / STATE).exists():
            return []
        try:
            with safe_open(self.folder / STATE, framework="pt") as file:
                metadata = file.metadata()
                if metadata["identity"] != self.identity:
                    raise CheckpointError(
                        f"{self.folder} holds another training ({metadata['identity']}); delete it and run again"
                    )
                self._restore({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
            lines = (self.folder / HISTORY).read_text(encoding="utf-8").splitlines()
            return [json.loads(line) for line in lines[: int(metadata["step"])]]
        except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as err:
            raise CheckpointError(
                f"the training state in {self.folder} cannot be read ({err}); delete it and run again"
            ) from err

    def _moments(self) -> dict[str, Tensor]:
        states = {name: self.optimizer.state[p] for name, p in _trained(self.module).items()} if self.optimizer else {}
        return {f"{key}.{name}": state[key] for name, state in states.items() for key in (*MOMENTS, "step") if state}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        for name, p in _trained(self.module).items():
            with torch.no_grad():
                p.copy_(shared_like(tensors[f"param.{name}"], p))
            if self.optimizer is not None and f"exp_avg.{name}" in tensors:
                moments = {key: shared_like(tensors[f"{key}.{name}"], p) for key in MOMENTS}
                # its own number of updates: fewer than the steps where some of them did not touch it
                self.optimizer.state[p] = {"step": tensors[f"step.{name}"], **moments}


@contextmanager
def frozen(module: nn.Module) -> Iterator[nn.Module]:
    """Eval mode and no parameter gradients inside; modes and flags are put back afterwards."""
    modes = {m: m.training for m in module.modules()}
    flags = {p: p.requires_grad for p in module.parameters()}
    try:
        yield module.eval().requires_grad_(False)
    finally:
        for m, training in modes.items():
            m.training = training
        for p, flag in flags.items():
            p.requires_grad_(flag)


def _trained(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def _means(seen: list[dict[str, Tensor]], ranks: Ranks) -> Row:
    """Of every term, over the parts of all processes; `seen` is what this one's parts report."""
    means = {name: torch.stack([terms[name] for terms in seen]).mean(0) for name in seen[0]}
    if ranks.size > 1:
        from accelerate.utils import reduce

        flat = [term.flatten().to(means["loss"].device) for term in means.values()]
        parts = reduce(torch.cat(flat), "mean").split([len(term) for term in flat])
        means = {name: part.view(means[name].shape) for name, part in zip(means, parts, strict=True)}
    return {name: term.tolist() for name, term in means.items()}
