from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from aptp_bench.methods.aptp import APTP, diagnostics
from aptp_bench.methods.aptp.config import APTPConfig
from aptp_bench.methods.aptp.encoder import PromptEncoder
from aptp_bench.methods.aptp.pruning import searching
from aptp_bench.plugins import Job

Jobs = Callable[..., Job]
ROUTES = {"same_route_other_noise", "same_route_other_batch", "served_as_trained"}


def test_correlation_is_pearsons_and_none_where_nothing_varies() -> None:
    a = torch.tensor([1.0, 2.0, 3.0])
    assert diagnostics.correlation(a, 2 * a + 1) == pytest.approx(1.0)
    assert diagnostics.correlation(a, -a) == pytest.approx(-1.0)
    assert diagnostics.correlation(a, torch.ones(3)) is None and diagnostics.correlation(a[:1], a[:1]) is None


def test_the_soft_ratio_is_that_of_the_last_steps_of_the_joint_stage() -> None:
    rows = [{"stage": "warmup", "ratio": 0.1}] + [{"stage": "joint", "ratio": 1.0 - 0.01 * i} for i in range(20)]
    assert diagnostics.soft_ratio(rows) == pytest.approx(0.815)


def test_a_search_that_misses_the_budget_says_so(job: Jobs, settings: dict[str, Any]) -> None:
    config = APTPConfig(**settings)
    with searching(job(0.7), config, PromptEncoder(config.encoder)) as search:
        far = diagnostics.missed(search, [{"stage": "joint", "ratio": 0.9}] * 10)
        assert "0.900" in far and "0.700" in far and "joint_steps" in far
        assert diagnostics.missed(search, [{"stage": "joint", "ratio": 0.701}] * 10) == ""
        assert diagnostics.missed(search, []) == ""


def test_a_run_tells_it_and_keeps_it(job: Jobs, settings: dict[str, Any]) -> None:
    said: list[str] = []
    given = job(0.6)
    progress = type("Said", (type(given.progress),), {"say": lambda self, line: said.append(line)})()
    mixture = APTP(**settings).prune(replace(given, progress=progress))
    assert mixture.remark and any(mixture.remark in line for line in said)
    numbers = mixture.router.diagnostics
    assert ROUTES | {"soft_ratio", "load_size", "served_size", "difficulty_size"} == set(numbers)
    assert all(0 <= numbers[name] <= 1 for name in ROUTES)


def test_one_network_has_no_routes_to_speak_of(job: Jobs, settings: dict[str, Any]) -> None:
    assert set(APTP(**settings, uni_arch=True).prune(job(0.8)).router.diagnostics) == {"soft_ratio"}


def test_routes_without_noise_are_stable_and_noise_moves_them(job: Jobs, settings: dict[str, Any]) -> None:
    def shares(**options: Any) -> dict[str, Any]:
        config = APTPConfig(**{**settings, **options})
        with searching(job(0.7), config, PromptEncoder(config.encoder)) as search:
            search.architect.begin_codes("random", search.prompts, torch.Generator().manual_seed(0))
            return diagnostics.stability(search, search.prompts, search.routes())

    assert shares(transport_noise=False)["same_route_other_noise"] == 1.0
    assert shares()["same_route_other_noise"] < 1.0
    alone = shares(transport=False, transport_noise=False)  # the nearest code knows no neighbours
    assert set(alone.values()) == {1.0}


def test_difficulty_is_what_a_cut_adds(job: Jobs, settings: dict[str, Any]) -> None:
    given, config = job(0.6), APTPConfig(**settings)
    some = torch.tensor([3, 1, 4])
    with searching(given, config, PromptEncoder(config.encoder)) as search:
        found = diagnostics.difficulty(search, some, given)
        again = diagnostics.difficulty(search, some, given)
    with searching(job(1.0), config, PromptEncoder(config.encoder)) as search:
        nothing = diagnostics.difficulty(search, some, given)
    assert found.shape == (3,) and torch.equal(found, again) and float(found.abs().max()) > 1e-4
    torch.testing.assert_close(nothing, torch.zeros(3, dtype=torch.float64), atol=1e-6, rtol=0)
