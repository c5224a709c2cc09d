"""APTP's router on disk and at work.

Prompt encoder, predictor, and the code with the greatest cosine (arXiv:2406.12042, eq. 22).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from aptp_bench.errors import CheckpointError
from aptp_bench.methods.aptp.encoder import PromptEncoder
from aptp_bench.methods.aptp.gumbel import Noise, Relaxation
from aptp_bench.methods.aptp.predictor import Architect
from aptp_bench.methods.aptp.report import Report
from aptp_bench.methods.aptp.routing import Routing
from aptp_bench.methods.aptp.transport import Kind, Similarity
from aptp_bench.models.gates import GateSpace
from aptp_bench.models.mixture import Router

STATE, TENSORS, REPORT, HISTORY = "router.json", "router.safetensors", "experts.json", "history.jsonl"
SPACE = TypeAdapter(GateSpace)


class _State(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

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


class CosineRouter(Router):
    """Sends a prompt to the code whose gates are most alike to those predicted for it."""

    name = "cosine"

    def __init__(
        self,
        encoder: PromptEncoder,
        routing: Routing,
        report: Report | None = None,
        history: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.encoder, self.routing, self.report, self.history = encoder, routing, report, list(history)

    def __call__(self, prompts: Sequence[str]) -> torch.Tensor:
        """n prompts -> expert ids, int64 [n]. Each prompt is routed alone."""
        if not prompts:
            return torch.zeros(0, dtype=torch.long)
        return self.routing.routes(self.encoder(prompts))

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
        )
        (folder / STATE).write_text(state.model_dump_json() + "\n", encoding="utf-8")
        tensors = {
            name: tensor.detach().cpu().contiguous() for name, tensor in self.routing.architect.state_dict().items()
        }
        save_file(tensors, folder / TENSORS)
        if self.report is not None:
            (folder / REPORT).write_text(self.report.model_dump_json(indent=1) + "\n", encoding="utf-8")
        if self.history:
            (folder / HISTORY).write_text("".join(json.dumps(row) + "\n" for row in self.history), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> CosineRouter:
        """The router saved in `folder`, on the CPU.

        Raises CheckpointError, also if its prompt encoder has other weights now.
        """
        try:
            state = _State.model_validate_json((folder / STATE).read_text(encoding="utf-8"))
            routing = _routing(state, load_file(folder / TENSORS))
            report = _optional(folder / REPORT, Report.model_validate_json)
            history = _optional(folder / HISTORY, lambda text: [json.loads(line) for line in text.splitlines()])
        except (OSError, ValueError, KeyError, RuntimeError, ValidationError, SafetensorError) as err:
            first = str(err).splitlines()[0]
            raise CheckpointError(f"the router in {folder} cannot be read ({first}); prune again") from err
        encoder = PromptEncoder(state.encoder)
        if encoder.digest() != state.encoder_digest:
            raise CheckpointError(
                f"the prompt encoder '{state.encoder}' is not the one of the router in {folder}; prune again"
            )
        return cls(encoder, routing, report, history or ())


def _routing(state: _State, tensors: dict[str, torch.Tensor]) -> Routing:
    space = SPACE.validate_python(state.space)
    codes, width = tensors["codes"], tensors["predictor.weight"].shape[1]
    architect = Architect(width, codes.shape[1], len(codes), torch.Generator())
    architect.load_state_dict(tensors)
    relaxation = Relaxation(space, state.temperature, state.offset, state.noise, state.order, state.guard)
    return Routing(architect.requires_grad_(False), relaxation, Similarity.of(space, state.similarity))


def _optional(path: Path, read: Any) -> Any:
    return read(path.read_text(encoding="utf-8")) if path.exists() else None
