"""APTP's router on disk and at work.

Prompt encoder, predictor, and the code with the greatest cosine (arXiv:2406.12042, eq. 22).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from aptp_bench.core.documents import Frozen, first_problem
from aptp_bench.errors import CheckpointError
from aptp_bench.methods.aptp.encoder import PromptEncoder
from aptp_bench.methods.aptp.gumbel import Noise, Relaxation
from aptp_bench.methods.aptp.predictor import Architect
from aptp_bench.methods.aptp.report import Report
from aptp_bench.methods.aptp.routing import Routing
from aptp_bench.methods.aptp.transport import Kind, Similarity, Transport
from aptp_bench.models.mixture import Router, read_history, write_history
from aptp_bench.pruning.gates import GateSpace

STATE, TENSORS, REPORT = "router.json", "router.safetensors", "experts.json"
SPACE = TypeAdapter(GateSpace)


PAPER = Transport()


class _State(Frozen):
    version: Literal[1] = 1
    encoder: str
    encoder_digest: str
    similarity: Kind
    temperature: float
    offset: float
    noise: Noise
    order: tuple[int, ...]
    guard: bool
    space: dict[str, Any]
    balance: Transport | None = PAPER  # None: trained without transport; earlier releases did not say


class CosineRouter(Router):
    """Sends a prompt to the code whose gates are most alike to those predicted for it."""

    name = "cosine"

    def __init__(
        self,
        encoder: PromptEncoder,
        routing: Routing,
        report: Report | None = None,
        history: Sequence[dict[str, Any]] = (),
        balance: Transport | None = PAPER,
    ) -> None:
        self.encoder, self.routing, self.report, self.history = encoder, routing, report, list(history)
        self.balance = balance

    def __call__(self, prompts: Sequence[str]) -> torch.Tensor:
        """n prompts -> expert ids, int64 [n]. Each prompt is routed alone."""
        if not prompts:
            return torch.zeros(0, dtype=torch.long)
        return self.routing.routes(self.encoder(prompts))

    def balanced(self, prompts: Sequence[str]) -> torch.Tensor | None:
        """The transport plan's codes for n prompts, int64 [n]; None for a router that was trained without transport."""
        if self.balance is None:
            return None
        if not prompts:
            return torch.zeros(0, dtype=torch.long)
        return self.routing.transported(self.encoder(prompts), self.balance)

    def save(self, folder: Path) -> None:
        """Write router.json, router.safetensors and, where known, experts.json and the search's history.jsonl."""
        relaxation = self.routing.relaxation
        state = _State(
            encoder=self.encoder.name,
            encoder_digest=self.encoder.digest(),
            similarity=self.routing.similarity.kind,
            temperature=relaxation.temperature,
            offset=relaxation.offset,
            noise=relaxation.noise,
            order=relaxation.order,
            guard=relaxation.guard,
            space=SPACE.dump_python(relaxation.space, mode="json"),
            balance=self.balance,
        )
        (folder / STATE).write_text(state.model_dump_json() + "\n", encoding="utf-8")
        tensors = {
            name: tensor.detach().cpu().contiguous() for name, tensor in self.routing.architect.state_dict().items()
        }
        save_file(tensors, folder / TENSORS)
        if self.report is not None:
            (folder / REPORT).write_text(self.report.model_dump_json(indent=1) + "\n", encoding="utf-8")
        write_history(folder, self.history)

    @classmethod
    def load(cls, folder: Path, moved: str | None = None) -> CosineRouter:
        """The router saved in `folder`, on the CPU. moved: where its prompt encoder lies now.

        Raises CheckpointError, also if its prompt encoder has other weights now.
        """
        try:
            state = _State.model_validate_json((folder / STATE).read_text(encoding="utf-8"))
            space, tensors = SPACE.validate_python(state.space), load_file(folder / TENSORS)
            relaxation = Relaxation(space, state.temperature, state.offset, state.noise, state.order, state.guard)
            routing = Routing(Architect.of(tensors), relaxation, Similarity.of(space, state.similarity))
            kept = folder / REPORT
            report = Report.model_validate_json(kept.read_text(encoding="utf-8")) if kept.exists() else None
            history = read_history(folder)
        except (OSError, ValueError, KeyError, RuntimeError, ValidationError, SafetensorError) as err:
            raise CheckpointError(f"the router in {folder} cannot be read ({first_problem(err)}); prune again") from err
        encoder = PromptEncoder(moved or state.encoder)
        if encoder.digest() != state.encoder_digest:
            fix = f"name {state.encoder} or a copy of it" if moved else "prune again"
            raise CheckpointError(
                f"the prompt encoder '{encoder.name}' is not the one of the router in {folder}; {fix}"
            )
        return cls(encoder, routing, report, history, state.balance)

    @classmethod
    def load_moved(cls, folder: Path, encoder: str) -> CosineRouter:
        """The router saved in `folder` with its prompt encoder from another place. Raises CheckpointError if it is another."""
        return cls.load(folder, encoder)
