from __future__ import annotations

import pytest
import torch

from aptp_bench.budget import Budget
from aptp_bench.core.progress import SilentProgress
from aptp_bench.errors import BudgetError, ConfigError, UnknownNameError
from aptp_bench.models.mixture import Mixture
from aptp_bench.models.stable_diffusion import SD21, MiniSD
from aptp_bench.profiling import targets
from aptp_bench.profiling.targets import Asked, dense, latent_size, model, noise_pairs, pruned, saved
from aptp_bench.pruning.macs import count, example_inputs

CPU = torch.device("cpu")
SHORT = {"experts": 2, "batch": 8, "warmup_steps": 1, "joint_steps": 1, "align_steps": 0}


def asked(tmp_path, teacher, method: str, settings=None, ratio: float = 0.7):
    wanted = Asked(method, settings or {}, Budget.of(ratio), label=f"{method}!")
    return pruned(wanted, teacher, tmp_path, CPU, SilentProgress())


def test_a_methods_result_meets_its_budget_and_says_how_it_came(tmp_path, small_sd) -> None:
    found = asked(tmp_path, small_sd, "norm", {"order": 2.0})
    inputs = example_inputs(small_sd.unet, tokens=32)
    costs = [count(net, inputs, "exact").total for net in (found.mixture.experts[0], small_sd.unet)]
    assert costs[0] / costs[1] == pytest.approx(0.7, abs=0.005)
    assert found.share.tolist() == [1.0]
    assert (found.label, found.method, found.settings["order"]) == ("norm!", "norm", 2.0)
    assert "on noise" in found.geometry


def test_a_mixtures_shares_are_those_of_the_prompts(tmp_path, small_sd) -> None:
    found = asked(tmp_path, small_sd, "aptp", SHORT)
    assert len(found.mixture) == 2
    assert float(found.share.sum()) == pytest.approx(1.0)
    served = torch.bincount(found.mixture.route(noise_pairs(small_sd, 0).captions), minlength=2)
    assert found.share.tolist() == pytest.approx((served / served.sum()).tolist())


def test_bad_budgets_options_and_names_are_refused(tmp_path, small_sd) -> None:
    with pytest.raises(BudgetError):
        asked(tmp_path, small_sd, "norm", ratio=0.001)
    with pytest.raises(ConfigError, match="no option 'colour'"):
        asked(tmp_path, small_sd, "norm", {"colour": 1})
    with pytest.raises(UnknownNameError, match="did you mean 'norm'"):
        asked(tmp_path, small_sd, "nrom")


def test_noise_has_the_teachers_sizes_and_depends_on_the_seed_alone(small_sd) -> None:
    pairs = noise_pairs(small_sd, 3)
    assert pairs.latents.shape == (targets.PAIRS, 4, 8, 8)
    assert pairs.text.shape == (targets.PAIRS, 32, 128)
    assert len(set(pairs.captions)) > targets.PAIRS // 2
    assert torch.equal(pairs.text, noise_pairs(small_sd, 3).text)
    assert not torch.equal(pairs.text, noise_pairs(small_sd, 4).text)


def test_a_saved_mixture_and_the_model_itself(tmp_path, small_sd, narrowed) -> None:
    Mixture.of_one(narrowed(0.5)).save(tmp_path / "mixture")
    found = saved(tmp_path / "mixture")
    assert (found.label, found.share.tolist()) == ("mixture", [1.0])
    assert dense(small_sd.unet).mixture.experts[0] is small_sd.unet


def test_a_scale_stands_for_its_model() -> None:
    assert (model("mini").name, model("paper").name, model("sd21-base").name) == ("mini-sd", "sd21", "sd21-base")


@pytest.mark.parametrize(("resolution", "latent"), [(None, 96), (768, 96), (512, 64), (256, 32), (64, 8)])
def test_pixels_become_latents(resolution, latent) -> None:
    assert latent_size(SD21(), resolution) == latent


def test_pixels_that_the_network_cannot_halve_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="multiple of 64; use --resolution 512"):
        latent_size(SD21(), 500)
    with pytest.raises(ConfigError, match="use --resolution 32"):
        latent_size(MiniSD(), 1)
