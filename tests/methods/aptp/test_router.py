from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench import registry
from aptp_bench.errors import CheckpointError
from aptp_bench.methods.aptp.encoder import PromptEncoder
from aptp_bench.methods.aptp.gumbel import Relaxation, outside_in
from aptp_bench.methods.aptp.predictor import Architect
from aptp_bench.methods.aptp.router import CosineRouter
from aptp_bench.methods.aptp.routing import Routing
from aptp_bench.methods.aptp.transport import Similarity, cosine
from aptp_bench.models.gates import GateSpace
from aptp_bench.pairs import Pairs

Make = Callable[..., CosineRouter]


@pytest.fixture
def make(space: GateSpace, encoder: str) -> Make:
    """make(kind, **relaxation) -> a router over four random codes."""

    def build(kind: Any = "cosine_gates", **relaxation: Any) -> CosineRouter:
        generator = torch.Generator().manual_seed(3)
        architect = Architect(16, space.size, 4, generator)
        architect.begin_codes("random", torch.zeros(1, 16), generator)
        with torch.no_grad():
            architect.predictor.weight.mul_(5)
        settings = {"offset": 0.5, "guard": True, **relaxation}
        routing = Routing(architect, Relaxation(space, **settings), Similarity.of(space, kind))
        return CosineRouter(PromptEncoder(encoder), routing, history=[{"step": 0, "loss": 1.5}])

    return build


@pytest.mark.parametrize("kind", ["cosine_gates", "cosine_logits", "inner"])
def test_a_loaded_router_sends_prompts_the_same_way(make: Make, pairs: Pairs, tmp_path: Path, kind: str) -> None:
    router = make(kind, order=outside_in(len(make(kind).routing.relaxation.space.depths)))
    router.save(tmp_path)
    again = registry.get("routers", "cosine").load(tmp_path)
    assert torch.equal(again(pairs.captions), router(pairs.captions))
    assert len(set(again(pairs.captions).tolist())) > 1
    assert again.history == router.history
    assert {file.suffix for file in tmp_path.iterdir()} <= {".json", ".jsonl", ".safetensors"}


def test_a_prompt_is_routed_alone(make: Make, pairs: Pairs) -> None:
    router = make()
    together = router(pairs.captions)
    assert together.dtype == torch.long
    assert [int(router([caption])) for caption in pairs.captions[:6]] == together[:6].tolist()
    assert torch.equal(router(pairs.captions[::-1]), together.flip(0))
    assert router([]).shape == (0,)


def test_the_rule_is_equation_22(make: Make, pairs: Pairs) -> None:
    router = make("cosine_logits")
    e = router.routing.architect(router.encoder(pairs.captions))
    expected = cosine(router.routing.architect.codes, e).argmax(0)
    assert torch.equal(router(pairs.captions), expected)


def test_another_encoder_is_refused(make: Make, tmp_path: Path) -> None:
    make().save(tmp_path)
    state = json.loads((tmp_path / "router.json").read_text())
    (tmp_path / "router.json").write_text(json.dumps(state | {"encoder_digest": "0" * 64}))
    with pytest.raises(CheckpointError, match="is not the one of the router"):
        CosineRouter.load(tmp_path)


@pytest.mark.parametrize("file", ["router.json", "router.safetensors"])
def test_a_broken_router_is_refused(make: Make, tmp_path: Path, file: str) -> None:
    make().save(tmp_path)
    (tmp_path / file).write_bytes(b"{}")
    with pytest.raises(CheckpointError, match="prune again"):
        CosineRouter.load(tmp_path)
