"""Widths that meet a budget: near a uniform cut, to a ten-thousandth, whatever the granularity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from aptp_bench.budget import Budget, Convention
from aptp_bench.errors import BudgetError
from aptp_bench.pruning import budget_fit
from aptp_bench.pruning.budget_fit import Fitted, Rounding, fit, ranked, shaped, uniform
from aptp_bench.pruning.coupled import Group
from aptp_bench.pruning.macs import count, example_inputs, parameters
from tests.pruning.conftest import taken

Network = tuple[UNet2DConditionModel, tuple[Group, ...]]
DENSE = 1384.186267264  # G of SD 2.1, aptp


@pytest.fixture
def small(networks: Any, coupled: Any) -> Network:
    return networks["small"], coupled("small")


@pytest.fixture
def large(networks: Any, coupled: Any) -> Network:
    return networks["sd21"], coupled("sd21")


def uniformly(network: Network, ratio: float, convention: Convention, rounding: Rounding = "nearest") -> Fitted:
    unet, among = network
    queue = [uniform(group.size, rounding) for group in among]
    return fit(unet, among, queue, Budget.of(ratio, convention), example_inputs(unet))


def cost(network: Network, fitted: Fitted, convention: Convention) -> float:
    unet, among = network
    left = count(shaped(unet, among, fitted.removed), example_inputs(unet), convention).total
    return left / count(unet, example_inputs(unet), convention).total


@pytest.mark.parametrize(
    ("convention", "ratio", "rounding"), [("exact", 0.95, "up"), ("aptp", 0.5, "up"), ("modules", 0.78, "nearest")]
)
def test_any_budget_is_met_where_a_layer_has_two_units(
    small: Network, convention: Convention, ratio: float, rounding: Rounding
) -> None:
    assert min(group.size for group in small[1]) == 2
    fitted = uniformly(small, ratio, convention, rounding)
    assert cost(small, fitted, convention) == pytest.approx(fitted.ratio) == pytest.approx(ratio, abs=1e-3)


def test_a_static_row_of_the_paper_is_met_on_sd21_near_a_uniform_cut(large: Network) -> None:
    fitted = uniformly(large, 1071.4 / DENSE, "aptp", "up")
    assert cost(large, fitted, "aptp") * DENSE == pytest.approx(1071.4, abs=0.001 * DENSE)
    fine = [n / group.size for group, n in zip(large[1], fitted.removed, strict=True) if group.size >= 320]
    assert max(fine) - min(fine) <= 1 / 320
    for group, n in zip(large[1], fitted.removed, strict=True):
        assert 0 <= taken(group.size, max(fine), "up") - n <= 1 + group.size / 320


@pytest.mark.parametrize(
    ("heads", "ratio", "size", "aptp", "exact"),
    [("width", 0.1, 702_900_004, 1_171_462_123_584, 895_158_711_936), ("whole", 0.25, 489.2e6, 796.8e9, 607.2e9)],
)
def test_a_uniform_cut_costs_what_torch_prunings_costs_on_sd21(
    sd21: Any, coupled: Any, heads: Any, ratio: float, size: float, aptp: float, exact: float
) -> None:
    among = coupled("sd21", heads)
    student = shaped(sd21, among, [taken(group.size, ratio) for group in among])
    digits = 0 if heads == "width" else 2e-4
    assert parameters(student) == pytest.approx(size, rel=digits)
    assert count(student, example_inputs(student), "aptp").total == pytest.approx(aptp, rel=digits)
    assert count(student, example_inputs(student), "exact").total == pytest.approx(exact, rel=digits)


@pytest.mark.parametrize("rounding", ["up", "nearest"])
@pytest.mark.parametrize("size", [2, 5, 32, 1280])
def test_the_queue_is_that_of_growing_uniform_cuts(size: int, rounding: Rounding) -> None:
    for ratio in (0.001, 0.099, 0.101, 0.26, 0.49, 0.74, 0.999):
        assert int((uniform(size, rounding) < ratio).sum()) == taken(size, ratio, rounding)


def test_a_ratio_that_is_a_whole_number_of_units_takes_no_more() -> None:
    assert [taken(20, 0.55), taken(100, 0.07), taken(320, 0.1), taken(5, 0.2)] == [11, 7, 32, 1]
    assert taken(4, 1.0) == 3


@pytest.mark.parametrize("step", [1, 2])
def test_in_the_exact_convention_the_first_try_is_close(
    small: Network, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    unet, among = small
    among = tuple(replace(group, step=min(step, group.size - 1)) for group in among)
    counted = []
    monkeypatch.setattr(budget_fit, "count", lambda *given: counted.append(given[0]) or count(*given))
    queue = [uniform(group.size, "nearest", group.step) for group in among]
    fitted = fit(unet, among, queue, Budget.of(0.7), example_inputs(unet))
    assert fitted.ratio == pytest.approx(0.7, abs=1e-4) and len(counted) == 2  # the dense network and the result


def test_a_global_ranking_takes_the_lowest_scores_first(small: Network) -> None:
    unet, among = small
    worth = [torch.full((group.size,), 1.0).double() for group in among]
    weak = [i for i, group in enumerate(among) if group.path.startswith("mid_block")]
    for i in weak:
        worth[i] = torch.cat([torch.full((among[i].size - 1,), 1e-3), torch.tensor([9.0])]).double() * 1e6
    queue = [ranked(w) for w in worth]
    rich, poor = (fit(unet, among, queue, Budget.of(ratio), example_inputs(unet)).removed for ratio in (0.985, 0.8))
    assert all(n == 0 for i, n in enumerate(rich) if i not in weak) and any(rich)
    assert all(poor[i] == among[i].size - among[i].least for i in weak)


def test_the_whole_budget_takes_nothing(small: Network) -> None:
    fitted = uniformly(small, 1.0, "exact")
    assert fitted.ratio == 1.0 and not any(fitted.removed)


def test_a_budget_below_the_leanest_network_is_refused(small: Network) -> None:
    with pytest.raises(
        BudgetError, match=r"the leanest network costs 0\.1\d+ of the dense MACs \(exact\); raise --budget"
    ):
        uniformly(small, 0.001, "exact")


@pytest.mark.parametrize("between", [0.2, 0.5, 0.8])
def test_steps_that_are_too_coarse_are_refused_with_the_neighbours(small: Network, between: float) -> None:
    unet, among = small
    stream = [group for group in among if group.path == "conv_in"]
    half = cost((unet, tuple(stream)), Fitted((1,), 0.0), "exact")
    with pytest.raises(BudgetError, match=rf"\(exact\); the nearest are --budget 1.0000 or {half:.4f}"):
        fit(unet, stream, [uniform(2, "up")], Budget.of(half + between * (1 - half)), example_inputs(unet))
    assert fit(unet, stream, [uniform(2, "up")], Budget.of(half), example_inputs(unet)).removed == (1,)


def test_a_step_has_the_place_that_a_uniform_cut_in_steps_gives_it() -> None:
    assert uniform(10, "up", 2).tolist() == pytest.approx([0.0, 0.2, 0.4, 0.6])
    assert uniform(10, "nearest", 2).tolist() == pytest.approx([0.1, 0.3, 0.5, 0.7])
    assert uniform(7, "up", 3).tolist() == pytest.approx([0.0, 3 / 7])
    assert len(uniform(4, "up", 4)) == len(uniform(4, "nearest", 9)) == 0


def test_a_step_is_ranked_by_the_mean_of_its_units() -> None:
    score = torch.tensor([5.0, 1.0, 3.0, 2.0, 8.0, 11.0]).double()
    assert (ranked(score, 2) * 5).tolist() == pytest.approx([1.5, 4.0])
    assert (ranked(score) * 5).tolist() == pytest.approx([1.0, 2.0, 3.0, 5.0, 8.0])
    assert ranked(score, 6).shape == (0,)


def test_units_go_in_steps_and_never_more_than_may(small: Network) -> None:
    unet, among = small
    group = max(among, key=lambda group: group.size)
    stepped = [replace(group, step=group.size // 8, least=group.size // 4 + 1)]
    leanest = cost((unet, tuple(stepped)), Fitted((5 * group.size // 8,), 0.0), "exact")
    queue = [uniform(group.size, "nearest", group.size // 8)]
    inputs = example_inputs(unet)
    with pytest.raises(BudgetError, match=rf"the leanest network costs {leanest:.4f}"):
        fit(unet, stepped, queue, Budget.of(leanest - 0.02), inputs)
    assert fit(unet, stepped, queue, Budget.of(leanest), inputs).removed == (5 * group.size // 8,)
