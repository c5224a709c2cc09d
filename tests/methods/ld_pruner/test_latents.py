from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from aptp_bench.core.noise import starting_noise
from aptp_bench.generation.sampling import parts_of
from aptp_bench.methods.ld_pruner import LDPrunerConfig
from aptp_bench.methods.ld_pruner.latents import answering, known, overhearing, spared, trials
from aptp_bench.methods.ld_pruner.operators import operators, stand_in
from aptp_bench.models.stable_diffusion import pipeline
from aptp_bench.pruning.gates import blocks
from aptp_bench.pruning.macs import count, example_inputs
from aptp_bench.pruning.surgery import clone, swapped
from aptp_bench.training.latents import Pairs

PROMPTS = [7, 0, 12]


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("steps", [1, 3])
def test_latents_are_the_stock_pipelines(
    guidance: float, steps: int, tiny: Any, told: Pairs, settings: dict[str, Any]
) -> None:
    config = LDPrunerConfig(**settings | {"guidance": guidance, "steps": steps})
    ours = torch.cat([trial.latents(tiny.unet) for trial in trials(tiny, told, PROMPTS, config, seed=3)])
    stock = pipeline(tiny.unet, **parts_of(tiny, "ddim"))
    stock.scheduler = DDIMScheduler.from_config(stock.scheduler.config, timestep_spacing="trailing")
    made = stock(
        prompt=[told.captions[i] for i in PROMPTS for _ in range(2)],
        latents=starting_noise(3, range(6), (4, 4, 4)),
        num_inference_steps=steps,
        guidance_scale=guidance,
        output_type="latent",
    ).images
    assert ours.shape == (3, 2, 4, 4, 4)
    torch.testing.assert_close(ours.flatten(0, 1), made, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("batch", "sizes"), [(1, [2, 2, 2]), (4, [4, 2]), (5, [4, 2]), (64, [6])])
def test_parts_hold_whole_prompts_and_change_no_latent(
    batch: int, sizes: list[int], tiny: Any, told: Pairs, settings: dict[str, Any]
) -> None:
    one = LDPrunerConfig(**settings | {"batch": 64, "guidance": 2.0})
    whole = trials(tiny, told, PROMPTS, one, seed=0)[0].latents(tiny.unet)
    parts = trials(tiny, told, PROMPTS, one.model_copy(update={"batch": batch}), seed=0)
    assert [len(part.noise) for part in parts] == sizes
    torch.testing.assert_close(torch.cat([part.latents(tiny.unet) for part in parts]), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_samples_are_what_the_network_was_given(
    guidance: float, tiny: Any, told: Pairs, settings: dict[str, Any]
) -> None:
    config = LDPrunerConfig(**settings | {"guidance": guidance, "steps": 3, "batch": 64})
    (trial,), seen, unet = trials(tiny, told, PROMPTS, config, seed=0), [], clone(tiny.unet)
    unet.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    trial.latents(unet)
    assert trial.samples == sum(seen) == 3 * 6 * (1 if guidance == 1.0 else 2)


def test_known_blocks_answer_exactly_what_they_would_compute(tiny: Any, told: Pairs, settings: dict[str, Any]) -> None:
    config = LDPrunerConfig(**settings | {"guidance": 2.0, "steps": 2, "batch": 64})
    (trial,), unet = trials(tiny, told, PROMPTS, config, seed=0), clone(tiny.unet)
    answers: dict[str, Any] = {}
    original = trial.latents(unet, overhearing(unet, answers))
    assert torch.equal(trial.latents(unet), original)
    for operator in operators(unet, "all")[::4]:
        with swapped(unet, operator.path, stand_in(unet, operator)):
            plain = trial.latents(unet)
            assert torch.equal(trial.latents(unet, answering(unet, answers, operator.path)), plain)
    assert torch.equal(trial.latents(unet), original)


def test_known_blocks_are_not_computed_in_the_first_step_and_are_in_the_next(
    tiny: Any, told: Pairs, settings: dict[str, Any]
) -> None:
    config = LDPrunerConfig(**settings | {"steps": 2, "batch": 64})
    (trial,), unet = trials(tiny, told, PROMPTS, config, seed=0), clone(tiny.unet)
    answers, ran, order = {}, [], list(blocks(unet))
    trial.latents(unet, overhearing(unet, answers))
    for path in order:
        unet.get_submodule(path).resnets[0].register_forward_hook(lambda *_, path=path: ran.append(path))
    for i, path in enumerate(order):
        ran.clear()
        trial.latents(unet, answering(unet, answers, f"{path}.resnets.0.conv1"))
        assert ran == order[i:] + order


def test_within_a_block_what_ends_before_the_modified_part_is_known_too() -> None:
    ended = ["d.0.resnets.0", "d.0.attentions.0", "d.0.resnets.1", "d.0", "m.resnets.0", "m", "u.0.resnets.0", "u.0"]
    assert known(ended, "d.0.resnets.0.conv1") == []
    assert known(ended, "d.0.attentions.0") == ["d.0.resnets.0"]
    assert known(ended, "d.0.attentions.0.norm") == ["d.0.resnets.0"]
    assert known(ended, "d.0.resnets.1.conv1") == ["d.0.resnets.0", "d.0.attentions.0"]
    assert known(ended, "d.0.other") == []  # a module of the block that is no part may run first
    assert known(ended, "u.0.resnets.0") == ["d.0", "m"]


def test_what_is_spared_is_what_is_not_computed(tiny: Any) -> None:
    """The MACs of the first call with answers, counted as executed, and those that `spared` leaves."""
    unet, answers = clone(tiny.unet), {}
    inputs = example_inputs(unet, tokens=5)
    given = {name: torch.zeros(x.shape, dtype=x.dtype) for name, x in inputs.items()}
    whole = count(unet, inputs, "exact").total
    among = [operator.path for operator in operators(unet, "all")]
    shares = spared(unet, among, inputs)
    assert list(shares) == among and 0 == min(shares.values()) < max(shares.values()) < 1
    with torch.no_grad(), overhearing(unet, answers):
        unet(**given)
    for path in among[::9]:
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), answering(unet, answers, path), counter:
            unet(**given)
        assert counter.get_total_flops() / 2 == pytest.approx(whole * (1 - shares[path])), path


def test_blocks_run_in_the_order_that_is_told(tiny: Any) -> None:
    unet, ran = clone(tiny.unet), []
    for path in blocks(unet):
        unet.get_submodule(path).register_forward_hook(lambda *_, path=path: ran.append(path))
    with torch.no_grad():
        unet(torch.randn(1, 4, 4, 4), 3, encoder_hidden_states=torch.randn(1, 5, 16))
    assert ran == list(blocks(unet)) and len(ran) == 5


def test_what_is_hooked_or_answered_is_put_back_after_a_failure(tiny: Any) -> None:
    unet = clone(tiny.unet)
    for context in (overhearing(unet, {}), answering(unet, dict.fromkeys(blocks(unet)), "up_blocks.1.resnets.0")):
        with pytest.raises(KeyboardInterrupt), context:
            raise KeyboardInterrupt
    assert not any(m._forward_hooks or "forward" in vars(m) for m in unet.modules())


@pytest.mark.parametrize("kind", ["v_prediction", "epsilon"])
def test_the_checkpoints_prediction_type_is_honoured(
    kind: str, tiny: Any, told: Pairs, settings: dict[str, Any]
) -> None:
    """A network that predicts nothing but noise (epsilon), or v of pure noise, gives back a latent of zeros."""

    class Noise(torch.nn.Module):
        def forward(self, x: torch.Tensor, t: torch.Tensor, encoder_hidden_states: torch.Tensor) -> Any:
            alpha = scheduler.alphas_cumprod[t]
            scale = 1 / (1 - alpha) ** 0.5 if kind == "epsilon" else alpha**0.5 / (1 - alpha) ** 0.5
            return type("Output", (), {"sample": x * scale})

    class Pipe:
        unet: UNet2DConditionModel = tiny.unet
        scheduler = tiny.scheduler.from_config(tiny.scheduler.config, prediction_type=kind)

    config = LDPrunerConfig(**settings | {"steps": 4, "batch": 64})
    (trial,) = trials(Pipe(), told, PROMPTS, config, seed=0)
    scheduler = trial.scheduler
    assert scheduler.config.prediction_type == kind and not scheduler.config.clip_sample
    made = trial.latents(Noise())
    expected = (1 - scheduler.final_alpha_cumprod) ** 0.5 / (1 - scheduler.alphas_cumprod[-1]) ** 0.5
    torch.testing.assert_close(made.flatten(0, 1), trial.noise * expected, rtol=1e-3, atol=1e-4)
