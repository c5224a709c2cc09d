"""What APTP is held against: routers that have learned nothing of architectures.

Shuffled routes ask what routing adds to having several experts; routes by kind are the oracle's, who knows the labels.
"""

from __future__ import annotations

import hashlib
from bisect import bisect
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from aptp_bench.budget import Budget
from aptp_bench.core.documents import Frozen, first_problem
from aptp_bench.errors import CheckpointError, ConfigError
from aptp_bench.methods.aptp.config import APTPConfig
from aptp_bench.methods.aptp.encoder import PromptEncoder
from aptp_bench.models.checkpoint import document
from aptp_bench.models.mixture import Router, read_history, write_history
from aptp_bench.plugins import Job

STATE, TENSORS = "router.json", "router.safetensors"
RIDGE = 1e-3  # of the mean square of an embedding's entries: directions that no prompt has decide nothing
LEAST = 0.02  # no expert is asked to be smaller


class _Shuffled(Frozen):
    shares: list[float]
    experts: list[int]
    seed: int
    diagnostics: dict[str, float]


class ShuffledRouter(Router):
    """Sends a prompt to an expert by lot: of its text and a seed alone, experts[i] with probability shares[i]."""

    name = "shuffled"

    def __init__(
        self,
        shares: Sequence[float],
        experts: Sequence[int],
        seed: int,
        history: Sequence[Mapping[str, Any]] = (),
        diagnostics: Mapping[str, float] | None = None,
    ) -> None:
        self.shares, self.experts, self.seed, self.history = list(shares), list(experts), seed, list(history)
        self.diagnostics = dict(diagnostics or {})

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """n prompts -> expert ids, int64 [n]."""
        edges = list(accumulate(self.shares))[:-1]
        places = [bisect(edges, self._lot(prompt)) for prompt in prompts]
        return torch.tensor([self.experts[place] for place in places], dtype=torch.long)

    def _lot(self, prompt: str) -> float:
        """A number in [0, 1)."""
        drawn = hashlib.sha256(f"{self.seed}:{prompt}".encode()).digest()[:6]
        return int.from_bytes(drawn, "big") / 2**48

    def reordered(self, order: Tensor) -> ShuffledRouter:
        """The same over experts in another order: order[i] is the old place of expert i. No prompt changes its expert."""
        return ShuffledRouter(self.shares, order.argsort()[self.experts].tolist(), self.seed)

    def save(self, folder: Path) -> None:
        """Write router.json and, where known, history.jsonl."""
        state = _Shuffled(shares=self.shares, experts=self.experts, seed=self.seed, diagnostics=self.diagnostics)
        (folder / STATE).write_text(state.model_dump_json() + "\n", encoding="utf-8")
        write_history(folder, self.history)

    @classmethod
    def load(cls, folder: Path) -> ShuffledRouter:
        """Read what `save` wrote. Raises CheckpointError."""
        state = document(folder / STATE, _Shuffled)
        return cls(state.shares, state.experts, state.seed, read_history(folder), state.diagnostics)


class _Kinds(Frozen):
    encoder: str
    encoder_digest: str
    names: list[str]
    diagnostics: dict[str, float]


class KindRouter(Router):
    """Sends a prompt to the expert of its kind, told from its embedding z by the greatest entry of W z + b.

    weight: [K, d + 1], b last; names: the kinds, one an expert.
    """

    name = "kinds"

    def __init__(
        self,
        encoder: PromptEncoder,
        weight: Tensor,
        names: Sequence[str],
        history: Sequence[Mapping[str, Any]] = (),
        diagnostics: Mapping[str, float] | None = None,
    ) -> None:
        self.encoder, self.weight, self.names, self.history = encoder, weight, list(names), list(history)
        self.diagnostics = dict(diagnostics or {})

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """n prompts -> expert ids, int64 [n]."""
        if not prompts:
            return torch.zeros(0, dtype=torch.long)
        return told(self.weight, self.encoder(prompts))

    def reordered(self, order: Tensor) -> KindRouter:
        """The same over experts in another order: order[i] is the old place of expert i."""
        return KindRouter(PromptEncoder(self.encoder.name), self.weight[order], [self.names[i] for i in order.tolist()])

    def save(self, folder: Path) -> None:
        """Write router.json, router.safetensors and, where known, history.jsonl."""
        about = {"encoder": self.encoder.name, "encoder_digest": self.encoder.digest(), "names": self.names}
        state = _Kinds(**about, diagnostics=self.diagnostics)
        (folder / STATE).write_text(state.model_dump_json() + "\n", encoding="utf-8")
        save_file({"weight": self.weight.contiguous()}, folder / TENSORS)
        write_history(folder, self.history)

    @classmethod
    def load(cls, folder: Path, moved: str | None = None) -> KindRouter:
        """Read what `save` wrote. moved: where its prompt encoder lies now. Raises CheckpointError."""
        state = document(folder / STATE, _Kinds)
        encoder = PromptEncoder(moved or state.encoder)
        if encoder.digest() != state.encoder_digest:
            raise CheckpointError(
                f"the prompt encoder '{encoder.name}' is not the one of the router in {folder}; name {state.encoder}"
            )
        try:
            weight = load_file(folder / TENSORS)["weight"]
        except (OSError, KeyError, SafetensorError) as err:
            raise CheckpointError(f"the router in {folder} cannot be read ({first_problem(err)}); prune again") from err
        return cls(encoder, weight, state.names, read_history(folder), state.diagnostics)

    @classmethod
    def load_moved(cls, folder: Path, encoder: str) -> KindRouter:
        """The router saved in `folder`, its prompt encoder from another place. Raises CheckpointError if it is another."""
        return cls.load(folder, encoder)


def by_lot(routes: Tensor, codes: int, seed: int) -> ShuffledRouter:
    """A router by lot over `codes` experts, with the loads of routes [n]."""
    shares = torch.bincount(routes, minlength=codes) / len(routes)
    return ShuffledRouter(shares.tolist(), range(codes), seed)


def by_kind(job: Job, encoder: PromptEncoder, config: APTPConfig) -> KindRouter:
    """A router that has learned the kinds of the job's training pairs. Raises ConfigError if the dataset names none."""
    if config.kinds not in job.labels:
        have = ", ".join(job.labels) or "none"
        raise ConfigError(f"routes=kinds needs the dataset's column '{config.kinds}'; it has {have}: --set kinds=…")
    labels = [str(label) for label in job.labels[config.kinds]]
    z = encoder(job.train.captions)
    weight, names = fitted(z, labels)
    right = [names[i] == label for i, label in zip(told(weight, z).tolist(), labels, strict=True)]
    return KindRouter(encoder, weight, names, diagnostics={"kinds_told": sum(right) / len(right)})


def told(weight: Tensor, z: Tensor) -> Tensor:
    """Kinds of embeddings: weight [K, d + 1], z [n, d] -> int64 [n]."""
    return (z.double() @ weight[:, :-1].T.double() + weight[:, -1].double()).argmax(1)


def fitted(z: Tensor, labels: Sequence[str]) -> tuple[Tensor, list[str]]:
    """([K, d + 1] of the ridge regression from z [n, d] to kinds as unit vectors, the kinds in alphabetical order)."""
    names = sorted(set(labels))
    place = {name: i for i, name in enumerate(names)}
    wanted = torch.eye(len(names), dtype=torch.float64)[[place[label] for label in labels]]
    x = torch.cat([z.double(), torch.ones(len(z), 1, dtype=torch.float64)], dim=1)
    ridge = RIDGE * len(z) * float(z.double().square().mean()) * torch.eye(x.shape[1], dtype=torch.float64)
    ridge[-1, -1] = 0.0
    return torch.linalg.solve(x.T @ x + ridge, x.T @ wanted).T.float(), names


def targets(names: Sequence[str], sizes: Mapping[str, float], loads: Tensor, budget: Budget) -> Tensor:
    """Ratios of the kinds' experts, float64 [K]: `sizes` moved by one amount, so that their mean is the budget.

    loads: [K], of the mean. No sizes: all are the budget. Raises ConfigError unless kinds and sizes match one to one.
    """
    if not sizes:
        return torch.full((len(names),), budget.ratio, dtype=torch.float64)
    if set(sizes) != set(names):
        raise ConfigError(f"sizes must name each kind once: {', '.join(names)}; got {', '.join(sizes)}")
    asked = torch.tensor([sizes[name] for name in names], dtype=torch.float64)
    shares, low, high = loads.double() / loads.sum(), -1.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        spent = float((shares * (asked + middle).clamp(LEAST, 1.0)).sum())
        low, high = (middle, high) if spent < budget.ratio else (low, middle)
    return (asked + high).clamp(LEAST, 1.0)
