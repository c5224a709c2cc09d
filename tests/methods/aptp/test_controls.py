from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench.budget import Budget
from aptp_bench.errors import CheckpointError, ConfigError
from aptp_bench.methods.aptp import APTP
from aptp_bench.methods.aptp.controls import KindRouter, ShuffledRouter, fitted, targets, told
from aptp_bench.methods.aptp.encoder import PromptEncoder
from aptp_bench.models.mixture import Mixture
from aptp_bench.plugins import Job
from tests.methods.conftest import PLACES, THINGS

Jobs = Callable[..., Job]
PROMPTS = [f"prompt number {i}" for i in range(4000)]


@pytest.fixture
def sizes(left: Any) -> Callable[[Mixture, Job], list[float]]:
    return lambda mixture, given: [left(mixture.experts[i], given) for i in range(len(mixture))]


def labelled(job: Jobs, **changes: Any) -> Job:
    return job(0.8, labels={"kind": [thing for thing in THINGS for _ in PLACES]}, **changes)


def mean(given: Job, mixture: Mixture, ratios: list[float]) -> float:
    loads = torch.bincount(mixture.route(given.train.captions), minlength=len(mixture)).double()
    return float((loads * torch.tensor(ratios)).sum() / loads.sum())


def test_lots_keep_the_loads_and_forget_the_prompt() -> None:
    router = ShuffledRouter([0.5, 0.2, 0.3], [2, 0, 1], seed=0)
    served = torch.bincount(router(PROMPTS), minlength=3) / len(PROMPTS)
    assert served.tolist() == pytest.approx([0.2, 0.3, 0.5], abs=0.03)
    assert torch.equal(router(PROMPTS), router(PROMPTS[:1000] + PROMPTS[1000:]))
    other = ShuffledRouter([0.5, 0.2, 0.3], [2, 0, 1], seed=1)(PROMPTS)
    assert float((other == router(PROMPTS)).float().mean()) == pytest.approx(0.5**2 + 0.2**2 + 0.3**2, abs=0.04)


def test_another_order_of_the_experts_moves_no_prompt() -> None:
    router, order = ShuffledRouter([0.5, 0.2, 0.3], range(3), seed=0), torch.tensor([2, 0, 1])
    assert torch.equal(order[router.reordered(order)(PROMPTS)], router(PROMPTS))


def test_kinds_are_told_apart_and_saved(encoder: str, tmp_path: Path) -> None:
    words = PromptEncoder(encoder)
    captions = [f"a {thing} {place}" for thing in THINGS for place in PLACES]
    weight, names = fitted(words(captions), [thing for thing in THINGS for _ in PLACES])
    router, order = KindRouter(words, weight, names, diagnostics={"kinds_told": 0.5}), torch.randperm(len(names))
    found = router(captions)
    assert float((found == torch.tensor([names.index(thing) for thing in THINGS for _ in PLACES])).float().mean()) > 0.8
    assert torch.equal(order[router.reordered(order)(captions)], found)
    router.save(tmp_path)
    again = KindRouter.load(tmp_path)
    assert torch.equal(again(captions), found) and (again.names, again.diagnostics) == (names, router.diagnostics)
    (tmp_path / "router.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError):
        KindRouter.load(tmp_path)


def test_a_kind_far_from_all_others_is_told_from_any_embedding() -> None:
    drawn = torch.Generator().manual_seed(0)
    centres = 5 * torch.randn(4, 16, generator=drawn)
    z = centres.repeat_interleave(30, 0) + torch.randn(120, 16, generator=drawn)
    weight, names = fitted(z, [name for name in "dbac" for _ in range(30)])
    assert names == ["a", "b", "c", "d"]
    assert [names[i] for i in told(weight, centres).tolist()] == ["d", "b", "a", "c"]


def test_given_sizes_are_moved_to_the_budget() -> None:
    loads, budget = torch.tensor([10, 30, 60]), Budget.of(0.5)
    found = targets(["a", "b", "c"], {"c": 0.4, "a": 0.9, "b": 0.7}, loads, budget)
    assert float((loads * found).sum() / 100) == pytest.approx(0.5) and found[0] - found[1] == pytest.approx(0.2)
    assert targets(["a", "b"], {}, loads[:2], budget).tolist() == [0.5, 0.5]
    assert float(targets(["a", "b"], {"a": 1.0, "b": 0.1}, torch.tensor([1, 1]), Budget.of(0.9)).max()) <= 1.0
    with pytest.raises(ConfigError, match="a, b"):
        targets(["a", "b"], {"a": 0.5}, loads[:2], budget)


def test_equal_experts_have_one_size_and_learned_routes(job: Jobs, sizes: Any, settings: dict[str, Any]) -> None:
    given = job(0.8)
    mixture = APTP(**settings, architectures="equal").prune(given)
    assert sizes(mixture, given) == pytest.approx([0.8] * 3, abs=0.005) and mixture.router.name == "cosine"
    states = [mixture.experts[i].state_dict() for i in range(3)]
    assert any({k: v.shape for k, v in states[0].items()} != {k: v.shape for k, v in s.items()} for s in states[1:])


def test_a_random_mixture_has_the_searched_sizes_and_routes_but_other_units(
    job: Jobs, sizes: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    given = job(0.8)
    searched = APTP(**settings).prune(given)
    drawn = APTP(**settings, architectures="random").prune(job(0.8, workdir=tmp_path / "drawn"))
    assert sizes(drawn, given) == pytest.approx(sizes(searched, given), abs=0.1)  # a unit of this network is up to 8 %
    routes = [mixture.route(given.train.captions).tolist() for mixture in (searched, drawn)]
    assert len(set(zip(*routes, strict=True))) == len(set(routes[0]))  # the same groups; experts are numbered by size
    shapes = [[v.shape for v in mixture.experts[0].state_dict().values()] for mixture in (searched, drawn)]
    assert shapes[0] != shapes[1]


def test_shuffled_routes_have_the_searched_experts(
    job: Jobs, sizes: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    given = job(0.8)
    mixture = APTP(**settings, routes="shuffled").prune(given)
    assert mean(given, mixture, sizes(mixture, given)) == pytest.approx(0.8, abs=0.005)
    mixture.save(tmp_path / "mixture")
    again = Mixture.load(tmp_path / "mixture", lazy=True)
    assert again.router.name == "shuffled" and again.router.history == mixture.router.history
    assert torch.equal(again.route(PROMPTS), mixture.route(PROMPTS))


def test_an_oracle_gives_each_kind_its_size(job: Jobs, sizes: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    asked = dict(zip(THINGS, (0.9, 0.85, 0.8, 0.8, 0.75, 0.7), strict=True))
    given = labelled(job)
    mixture = APTP(**settings, routes="kinds", sizes=asked).prune(given)
    found, routes = sizes(mixture, given), mixture.route(given.train.captions)
    assert mean(given, mixture, found) == pytest.approx(0.8, abs=0.005)
    assert found == pytest.approx(sorted(asked.values()), abs=0.08) and found == sorted(found)
    share = [found[i] for i in routes.tolist()]
    assert sum(share[:5]) > sum(share[-5:]) + 0.5  # cats have the largest expert, giraffes the smallest
    mixture.save(tmp_path / "mixture")
    assert torch.equal(Mixture.load(tmp_path / "mixture", lazy=True).route(given.train.captions), routes)
    assert mixture.router.diagnostics["kinds_told"] > 0.8


def test_kinds_that_the_dataset_does_not_name_are_refused(job: Jobs, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="'kind'"):
        APTP(**settings, routes="kinds").prune(job(0.8))


@pytest.mark.parametrize(
    "wrong",
    [{"uni_arch": True, "routes": "shuffled"}, {"sizes": {"a": 0.5}}, {"sizes": {"a": 1}, "architectures": "equal"}],
)
def test_controls_that_contradict_each_other_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        APTP(**wrong)
