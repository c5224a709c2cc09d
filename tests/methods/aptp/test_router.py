from __future__ import annotations

import json
import shutil
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
from aptp_bench.methods.aptp.transport import Similarity, Transport, cosine, sinkhorn
from aptp_bench.pruning.gates import GateSpace
from aptp_bench.training.latents import Pairs

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


def test_balancing_is_the_transport_plan_of_the_batch_without_noise(make: Make, pairs: Pairs) -> None:
    router = make("cosine_logits")
    e = router.routing.architect(router.encoder(pairs.captions)).double()
    similarity = cosine(router.routing.architect.codes.double(), e)
    expected = sinkhorn(similarity, 0.05, 3).argmax(0)
    found = router.balanced(pairs.captions)
    assert torch.equal(found, expected) and found.dtype == torch.long
    assert torch.equal(router.balanced(pairs.captions), found)
    served = torch.bincount(router(pairs.captions), minlength=4)
    assert torch.bincount(found, minlength=4).max() < served.max()
    assert router.balanced([]).shape == (0,)


def test_plans_of_inner_products_are_those_of_training(make: Make, pairs: Pairs) -> None:
    router = make("inner")
    e = router.routing.architect(router.encoder(pairs.captions)).double()
    expected = sinkhorn(router.routing.architect.codes.double() @ e.T).argmax(0)
    assert torch.equal(router.balanced(pairs.captions), expected)


def test_how_loads_are_balanced_is_saved_and_a_router_without_transport_balances_none(
    make: Make, pairs: Pairs, tmp_path: Path
) -> None:
    router = make("inner")
    for place, balance in enumerate((Transport(eps=0.5, iterations=100), None)):
        again = CosineRouter(router.encoder, router.routing, balance=balance)
        (tmp_path / str(place)).mkdir()
        again.save(tmp_path / str(place))
        assert CosineRouter.load(tmp_path / str(place)).balance == balance
    assert again.balanced(pairs.captions) is None
    assert not torch.equal(CosineRouter.load(tmp_path / "0").balanced(pairs.captions), router.balanced(pairs.captions))


def test_a_router_of_an_earlier_release_loads_and_balances_as_the_paper_does(
    make: Make, pairs: Pairs, tmp_path: Path
) -> None:
    make().save(tmp_path)
    state = json.loads((tmp_path / "router.json").read_text())
    assert state.pop("balance")
    (tmp_path / "router.json").write_text(json.dumps(state))
    again = CosineRouter.load(tmp_path)
    assert again.balance == Transport(eps=0.05, iterations=3)
    assert torch.equal(again.balanced(pairs.captions), make().balanced(pairs.captions))


def test_an_encoder_that_moved_is_found_where_it_is_said_to_be(
    make: Make, pairs: Pairs, tmp_path: Path, encoder: str
) -> None:
    (tmp_path / "router").mkdir()
    make().save(tmp_path / "router")
    shutil.copytree(encoder, tmp_path / "moved")
    again = CosineRouter.load_moved(tmp_path / "router", str(tmp_path / "moved"))
    assert again.encoder.name == str(tmp_path / "moved")
    assert torch.equal(again(pairs.captions), make()(pairs.captions))
    (weights,) = (tmp_path / "moved").rglob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0x")
    with pytest.raises(CheckpointError, match=r"moved' is not the one of the router .*; name .* or a copy of it"):
        CosineRouter.load_moved(tmp_path / "router", str(tmp_path / "moved"))


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
