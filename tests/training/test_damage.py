from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from aptp_bench.core.progress import SilentProgress
from aptp_bench.training import damage
from aptp_bench.training.damage import Yardstick
from aptp_bench.training.diffusion import Noising
from aptp_bench.training.latents import Pairs


@pytest.fixture
def yardstick(small_sd: Any) -> Yardstick:
    drawn = torch.Generator().manual_seed(0)
    config = small_sd.unet.config
    latents = torch.randn(7, 4, config.sample_size, config.sample_size, generator=drawn)
    text = torch.randn(7, 5, config.cross_attention_dim, generator=drawn)
    return Yardstick(Pairs([f"{i}" for i in range(7)], latents, text), Noising.of(small_sd.scheduler), strata=3)


def errors(yardstick: Yardstick, unet: Any) -> torch.Tensor:
    return yardstick.errors(unet, "cpu", SilentProgress(), "denoise")


def test_a_pair_is_measured_alike_whatever_shares_its_batch(
    yardstick: Yardstick, small_sd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = errors(yardstick, small_sd.unet)
    monkeypatch.setattr(damage, "BATCH", 2)
    assert whole.shape == (7,) and torch.allclose(errors(yardstick, small_sd.unet), whole, rtol=1e-5)


def test_another_seed_is_other_noise(yardstick: Yardstick, small_sd: Any) -> None:
    other = Yardstick(yardstick.pairs, yardstick.noising, yardstick.strata, seed=1)
    assert not torch.allclose(errors(other, small_sd.unet), errors(yardstick, small_sd.unet), rtol=1e-3)


def test_a_network_that_knows_the_answer_has_no_error(yardstick: Yardstick) -> None:
    """v of a pair follows from x_t, t and x0."""
    asked: list[int] = []

    class Oracle(torch.nn.Module):
        def forward(self, x: Any, t: Any, encoder_hidden_states: Any) -> Any:
            asked.extend(t.tolist())
            signal, noise = (s[:, None, None, None] for s in (scale(t).sqrt(), (1 - scale(t)).sqrt()))
            eps = (x - signal * yardstick.pairs.latents) / noise
            return type("Out", (), {"sample": signal * eps - noise * yardstick.pairs.latents})

    def scale(t: torch.Tensor) -> torch.Tensor:
        return yardstick.noising.alphas[t]

    assert errors(yardstick, Oracle()).max() < 1e-6
    steps = sorted(set(asked))
    assert len(steps) == 3 and steps[0] < yardstick.noising.steps / 3 < steps[1] < 2 * yardstick.noising.steps / 3


def test_cutting_hurts(yardstick: Yardstick, small_sd: Any, narrowed: Callable[[float], Any]) -> None:
    dense = errors(yardstick, small_sd.unet)
    assert not torch.allclose(errors(yardstick, narrowed(0.25)), dense)
