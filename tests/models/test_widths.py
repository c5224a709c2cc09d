"""Widths that meet a budget: near a uniform cut, to a ten-thousandth, whatever the granularity."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers import UNet2DConditionModel

from aptp_bench.budget import CONVENTIONS, Budget, Convention
from aptp_bench.errors import BudgetError
from aptp_bench.models import widths
from aptp_bench.models.coupled import Group, groups
from aptp_bench.models.macs import count, example_inputs, parameters
from aptp_bench.models.stable_diffusion import MiniSD
from aptp_bench.models.widths import Fitted, Rounding, fit, ranked, shaped, taken, uniform

Network = tuple[UNet2DConditionModel, tuple[Group, ...]]


@pytest.fixture(scope="module")
def mini() -> Network:
    unet = MiniSD().skeleton()
    return unet, groups(unet)


@pytest.fixture(scope="module")
def large(sd21: UNet2DConditionModel) -> Network:
    return sd21, groups(sd21)


def uniformly(network: Network, ratio: float, convention: Convention, rounding: Rounding = "nearest") -> Fitted:
    unet, among = network
    queue = [uniform(group.size, rounding) for group in among]
    return fit(unet, among, queue, Budget.of(ratio, convention), example_inputs(unet))


def cost(network: Network, fitted: Fitted, convention: Convention) -> float:
    unet, among = network
    left = count(shaped(unet, among, fitted.removed), example_inputs(unet), convention).total
    return left / count(unet, example_inputs(unet), convention).total


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_any_budget_is_met_where_a_layer_has_two_units(mini: Network, convention: Convention) -> None:
    assert min(group.size for group in mini[1]) == 2
    for ratio, rounding in ((0.5, "up"), (0.78, "nearest"), (0.95, "up")):
        fitted = uniformly(mini, ratio, convention, rounding)
        assert cost(mini, fitted, convention) == pytest.approx(fitted.ratio) == pytest.approx(ratio, abs=1e-3)


@pytest.mark.parametrize("giga", [1185.3, 1077.4, 1192.1, 1071.4])
def test_the_papers_static_rows_are_met_on_sd21(large: Network, giga: float) -> None:
    fitted = uniformly(large, giga / 1384.186267264, "aptp", "up")
    assert cost(large, fitted, "aptp") * 1384.186267264 == pytest.approx(giga, abs=0.001 * 1384)


def test_a_uniform_cut_costs_what_torch_prunings_costs_on_sd21(sd21: UNet2DConditionModel) -> None:
    among = groups(sd21, "width")
    student = shaped(sd21, among, [taken(group.size, 0.1) for group in among])
    assert parameters(student) == 702_900_004
    assert count(student, example_inputs(student), "aptp").total == 1_171_462_123_584
    assert count(student, example_inputs(student), "exact").total == 895_158_711_936


def test_so_it_does_by_whole_heads(large: Network) -> None:
    unet, among = large
    student = shaped(unet, among, [taken(group.size, 0.25) for group in among])
    assert count(student, example_inputs(student), "aptp").total / 1e9 == pytest.approx(796.8, abs=0.05)
    assert count(student, example_inputs(student), "exact").total / 1e9 == pytest.approx(607.2, abs=0.05)
    assert parameters(student) / 1e6 == pytest.approx(489.2, abs=0.05)


@pytest.mark.parametrize("rounding", ["up", "nearest"])
@pytest.mark.parametrize("size", [2, 5, 32, 1280])
def test_the_queue_is_that_of_growing_uniform_cuts(size: int, rounding: Rounding) -> None:
    for ratio in (0.001, 0.099, 0.101, 0.26, 0.49, 0.74, 0.999):
        assert int((uniform(size, rounding) < ratio).sum()) == taken(size, ratio, rounding)


def test_a_ratio_that_is_a_whole_number_of_units_takes_no_more() -> None:
    assert [taken(20, 0.55), taken(100, 0.07), taken(320, 0.1), taken(5, 0.2)] == [11, 7, 32, 1]
    assert taken(4, 1.0) == 3


def test_widths_are_those_of_a_uniform_cut_but_for_steps_that_are_too_coarse(large: Network) -> None:
    fitted = uniformly(large, 0.8, "exact", "nearest")
    fine = [n / group.size for group, n in zip(large[1], fitted.removed, strict=True) if group.size >= 320]
    assert max(fine) - min(fine) <= 1 / 320
    for group, n in zip(large[1], fitted.removed, strict=True):
        assert 0 <= taken(group.size, max(fine), "nearest") - n <= 1 + group.size / 320


def test_in_the_exact_convention_the_estimate_is_exact(mini: Network) -> None:
    unet, among = mini
    trial = widths._Trial.of(unet, among, Budget.of(0.7), example_inputs(unet))
    estimate = trial.estimate()
    for i in range(len(among)):
        for _ in range(i % (1 + among[i].size // 2)):
            estimate.remove(i)
    removed = tuple(i % (1 + group.size // 2) for i, group in enumerate(among))
    assert estimate.total / trial.dense.total == pytest.approx(trial.counted(removed).ratio, rel=1e-9)


def test_a_global_ranking_takes_the_lowest_scores_first(mini: Network) -> None:
    unet, among = mini
    worth = [torch.full((group.size,), 1.0).double() for group in among]
    weak = [i for i, group in enumerate(among) if group.path.startswith("mid_block")]
    for i in weak:
        worth[i] = torch.cat([torch.full((among[i].size - 1,), 1e-3), torch.tensor([9.0])]).double() * 1e6
    queue = [ranked(w) for w in worth]
    rich, poor = (fit(unet, among, queue, Budget.of(ratio), example_inputs(unet)).removed for ratio in (0.97, 0.9))
    assert all(n == 0 for i, n in enumerate(rich) if i not in weak) and any(rich)
    assert all(poor[i] == among[i].size - among[i].least for i in weak)


def test_the_whole_budget_takes_nothing(mini: Network) -> None:
    fitted = uniformly(mini, 1.0, "exact")
    assert fitted.ratio == 1.0 and not any(fitted.removed)


def test_a_budget_below_the_leanest_network_is_refused(mini: Network) -> None:
    with pytest.raises(
        BudgetError, match=r"the leanest network costs 0\.1\d+ of the dense MACs \(exact\); raise --budget"
    ):
        uniformly(mini, 0.001, "exact")


@pytest.mark.parametrize("between", [0.2, 0.5, 0.8])
def test_steps_that_are_too_coarse_are_refused_with_the_neighbours(mini: Network, between: float) -> None:
    unet, among = mini
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


def test_units_go_in_steps_and_never_more_than_may(mini: Network) -> None:
    unet, among = mini
    group = max(among, key=lambda group: group.size)
    stepped = [replace(group, step=group.size // 8, least=group.size // 4 + 1)]
    leanest = cost((unet, tuple(stepped)), Fitted((5 * group.size // 8,), 0.0), "exact")
    queue = [uniform(group.size, "nearest", group.size // 8)]
    inputs = example_inputs(unet)
    with pytest.raises(BudgetError, match=rf"the leanest network costs {leanest:.4f}"):
        fit(unet, stepped, queue, Budget.of(leanest - 0.02), inputs)
    assert fit(unet, stepped, queue, Budget.of(leanest), inputs).removed == (5 * group.size // 8,)


def test_the_estimate_is_exact_in_steps_too(mini: Network) -> None:
    unet, among = mini
    among = tuple(replace(group, step=max(1, group.size // 4)) for group in among)
    trial = widths._Trial.of(unet, among, Budget.of(0.7), example_inputs(unet))
    estimate = trial.estimate()
    for i in range(0, len(among), 2):
        estimate.remove(i)
    removed = tuple(group.step * (i % 2 == 0) for i, group in enumerate(among))
    assert tuple(estimate.removed) == removed
    assert estimate.total / trial.dense.total == pytest.approx(trial.counted(removed).ratio, rel=1e-9)
