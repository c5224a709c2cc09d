"""The sum of the denoising loss's gradients over diffusion steps, resumable bit for bit.

Paper: Fang, Ma, Wang, "Structural Pruning for Diffusion Models", NeurIPS 2023, arXiv:2305.10924, Section 4.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from aptp_bench.core.distributed import Ranks
from aptp_bench.core.files import write_json, write_whole
from aptp_bench.core.noise import generator
from aptp_bench.errors import CheckpointError, TrainingError
from aptp_bench.methods.narrowing import StructuralConfig
from aptp_bench.plugins import Job
from aptp_bench.pruning.surgery import clone
from aptp_bench.training.diffusion import Noising
from aptp_bench.training.latents import Pairs

STATE, LOSSES = "gradients.safetensors", "losses.json"


def gradients(job: Job, config: StructuralConfig) -> dict[str, Tensor]:
    """Sum over the kept steps t of dL_t/dtheta, by parameter name, on the teacher's device.

    Steps 0, stride, 2 stride, ... are a prefix: the first with L_t < T L_max ends them and does not count. Goes on from
    the last checkpoint in the job's folder. The teacher is left as it was. Raises TrainingError if a loss is not
    finite, CheckpointError if the folder holds another sum.
    """
    problem, ranks = _Problem.of(job, config), Ranks.here()
    total = _Sum.load(job.workdir, problem)
    ranks.wait()  # until all have read what the first will replace
    steps = range(0, problem.noising.steps, config.stride)
    for t in job.progress.track(steps, "structural: gradients", done=len(steps) if total.ended else len(total.rows)):
        loss = problem.step(t)
        total.add(problem, t, loss)
        due = total.ended or len(total.rows) % config.checkpoint_every == 0 or len(total.rows) == len(steps)
        if due and ranks.first:
            total.save(job.workdir, problem)
        if total.ended:
            break
    return total.tensors


@dataclass(frozen=True)
class _Problem:
    """One batch of pairs and one noise, eps: [n, C, h, w], for all steps.

    twin: shares the teacher's weights and has gradients of its own.
    """

    twin: UNet2DConditionModel
    noising: Noising
    pairs: Pairs
    eps: Tensor
    config: StructuralConfig
    device: torch.device
    identity: str

    @classmethod
    def of(cls, job: Job, config: StructuralConfig) -> _Problem:
        """What the seed draws."""
        draw = generator("structural", job.seed)
        members = torch.randperm(len(job.train), generator=draw)[: config.pairs]
        pairs = job.train.subset(members)
        eps = torch.randn(pairs.latents.shape, generator=draw)
        unet = job.teacher.unet
        twin: Any = clone(unet, {p: p.detach() for p in unet.parameters()})
        settings = config.model_dump(include={"threshold", "stride", "pairs", "micro_batch", "loss"})
        identity = json.dumps({"seed": job.seed, **settings}, sort_keys=True)
        noising = Noising.of(job.teacher.scheduler)
        return cls(twin.requires_grad_(True).eval(), noising, pairs, eps, config, job.device, identity)

    def step(self, t: int) -> float:
        """The loss of the prediction at t, mean over elements and pairs; its gradients are left in the twin."""
        self.twin.zero_grad(set_to_none=True)
        loss, n = 0.0, len(self.pairs)
        for start in range(0, n, self.config.micro_batch):
            part = self._error(slice(start, min(start + self.config.micro_batch, n)), t) / n
            part.backward()
            loss += float(part.detach())
        if not math.isfinite(loss):
            raise TrainingError(f"the teacher's loss at step {t} is {loss}; check its weights, or choose others")
        return loss

    def share(self, t: int) -> float:
        """What one unit of the prediction's loss at t is in that of the noise: alpha_t for v, as eps = ... + sqrt(alpha_t) v."""
        return 1.0 if self.noising.prediction == "epsilon" else float(self.noising.alphas[t])

    def _error(self, rows: slice, t: int) -> Tensor:
        """Squared error averaged over elements, summed over pairs."""
        batch = self.pairs.batch(torch.arange(rows.start, rows.stop), self.device)
        eps = self.eps[rows].to(self.device)
        at = torch.full((len(eps),), t, device=self.device)
        predicted = self.twin(
            self.noising.add_noise(batch.latents, eps, at), at, encoder_hidden_states=batch.text
        ).sample
        return (predicted - self.noising.target(batch.latents, eps, at)).square().flatten(1).mean(1).sum()


@dataclass
class _Sum:
    """Gradients summed so far by name, and a row for every step that was evaluated."""

    tensors: dict[str, Tensor]
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether a step fell below the threshold."""
        return bool(self.rows) and not self.rows[-1]["kept"]

    def add(self, problem: _Problem, t: int, loss: float) -> None:
        """Add the gradients of a step, unless its loss is below the threshold."""
        noise = problem.share(t) * loss
        largest = max([noise, *(row["noise"] for row in self.rows)])
        kept = noise >= problem.config.threshold * largest
        self.rows.append({"t": t, "noise": noise, "prediction": loss, "kept": kept})
        if not kept:
            return
        weight = problem.share(t) if problem.config.loss == "noise" else 1.0
        for name, p in problem.twin.named_parameters():
            if p.grad is not None:
                self.tensors[name].add_(p.grad, alpha=weight)

    def save(self, folder: Path, problem: _Problem) -> None:
        """Write sum and rows; a kill leaves the old state or the new one."""
        folder.mkdir(parents=True, exist_ok=True)
        metadata = {"identity": problem.identity, "rows": json.dumps(self.rows)}
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.tensors.items()}
        write_whole(folder / STATE, lambda path: save_file(tensors, path, metadata=metadata))
        write_json(folder / LOSSES, self.rows)

    @classmethod
    def load(cls, folder: Path, problem: _Problem) -> _Sum:
        """The last state in the folder, zero if there is none. Raises CheckpointError."""
        path = folder / STATE
        if not path.exists():
            return cls({name: torch.zeros_like(p) for name, p in problem.twin.named_parameters()})
        try:
            with safe_open(path, framework="pt", device=str(problem.device)) as file:
                metadata = file.metadata()
                if metadata["identity"] != problem.identity:
                    raise CheckpointError(f"{path} is of other settings ({metadata['identity']}); delete it, run again")
                tensors = {name: file.get_tensor(name) for name, _ in problem.twin.named_parameters()}
            return cls(tensors, json.loads(metadata["rows"]))
        except (OSError, KeyError, ValueError, SafetensorError) as err:
            raise CheckpointError(f"{path} cannot be read ({err}); delete it and run again") from err
