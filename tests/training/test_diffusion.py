from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import Tensor

from aptp_bench.errors import ConfigError
from aptp_bench.training import diffusion
from aptp_bench.training.diffusion import Draw, Noised, Noising, Seen, recorded
from aptp_bench.training.latents import Batch

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

T = torch.tensor([0, 10, 500, 999])


def scheduler(prediction: str = "v_prediction") -> DDPMScheduler:
    return DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=prediction)


def latents(n: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 4, 4, 4, generator=generator), torch.randn(n, 4, 4, 4, generator=generator)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_forward_process_is_that_of_diffusers(prediction: str) -> None:
    noising, theirs = Noising.of(scheduler(prediction)), scheduler(prediction)
    x0, eps = latents()
    torch.testing.assert_close(noising.add_noise(x0, eps, T), theirs.add_noise(x0, eps, T))
    expected = eps if prediction == "epsilon" else theirs.get_velocity(x0, eps, T)
    torch.testing.assert_close(noising.target(x0, eps, T), expected)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_min_snr_weighs_the_error_of_x0_by_the_clipped_snr(prediction: str) -> None:
    noising = Noising.of(scheduler(prediction))
    (x0, eps), guess = latents(), latents()[1].flip(0)
    x = noising.add_noise(x0, eps, T)
    alpha = noising.alphas[T][:, None, None, None]
    if prediction == "epsilon":
        guessed_x0 = (x - (1 - alpha).sqrt() * guess) / alpha.sqrt()
    else:
        guessed_x0 = alpha.sqrt() * x - (1 - alpha).sqrt() * guess
    error_x0 = (guessed_x0 - x0).square().flatten(1).mean(1)
    error = (guess - noising.target(x0, eps, T)).square().flatten(1).mean(1)
    weighed = noising.min_snr_weights(T, 5.0) * error
    torch.testing.assert_close(weighed, noising.snr(T).clamp(max=5.0) * error_x0, rtol=1e-3, atol=1e-5)


def test_a_prediction_that_cannot_be_trained_is_refused() -> None:
    with pytest.raises(ConfigError, match="predicts epsilon or v"):
        Noising.of(scheduler("sample"))


def test_a_draw_gives_every_part_its_rows_of_one_batch() -> None:
    noising = Noising.of(scheduler())
    draw = Draw.of(noising, (4, 4, 4, 4), torch.Generator().manual_seed(1))
    x0, _ = latents()
    whole = draw.apply(noising, Batch(x0, torch.zeros(4, 2, 3)), slice(0, 4), 5.0)
    half = draw.apply(noising, Batch(x0[2:], torch.zeros(2, 2, 3)), slice(2, 4), 5.0)
    for name in ("x", "t", "target", "weights"):
        assert torch.equal(getattr(half, name), getattr(whole, name)[2:])


def test_blocks_are_recorded_by_the_part_they_play_and_hooks_are_gone(tiny: StableDiffusionPipeline) -> None:
    unet, noised = tiny.unet, _noised()
    with recorded(unet) as outputs:
        unet(noised.x, noised.t, noised.text)
    assert list(outputs) == ["down.0", "down.1", "down.2", "down.3", "mid", "up.-4", "up.-3", "up.-2", "up.-1"]
    assert all(isinstance(output, Tensor) and output.ndim == 4 for output in outputs.values())
    with pytest.raises(RuntimeError, match="inside"), recorded(unet):
        raise RuntimeError("inside")
    assert not any(module._forward_hooks for module in unet.modules())


def test_recording_changes_no_output(tiny: StableDiffusionPipeline) -> None:
    noised = _noised()
    plain = tiny.unet(noised.x, noised.t, noised.text).sample
    assert torch.equal(diffusion.observe(tiny.unet, noised).prediction, plain)


def test_a_network_has_nothing_to_learn_from_itself(tiny: StableDiffusionPipeline) -> None:
    seen = diffusion.observe(tiny.unet, _noised())
    assert diffusion.output_distillation(seen, seen).abs().max() == 0
    assert diffusion.block_distillation(seen, seen).abs().max() == 0


def test_losses_are_per_sample_and_follow_their_formulas() -> None:
    a, b = Seen(*_random(1)), Seen(*_random(2))
    noised = SimpleNamespace(target=b.prediction, weights=torch.tensor([1.0, 0.5, 0.0]))
    squared = (a.prediction - b.prediction).square().flatten(1)
    torch.testing.assert_close(diffusion.output_distillation(a, b), squared.mean(1))
    torch.testing.assert_close(diffusion.denoising_loss(a, noised), squared.mean(1) * noised.weights)


def test_the_three_sums_of_block_distillation() -> None:
    a, b = Seen(*_random(1)), Seen(*_random(2))
    squares = [(a.blocks[name] - b.blocks[name]).square().flatten(1) for name in a.blocks]
    means = torch.stack([square.mean(1) for square in squares])
    torch.testing.assert_close(diffusion.block_distillation(a, b, "mean"), means.mean(0))
    torch.testing.assert_close(diffusion.block_distillation(a, b, "sum"), means.sum(0))
    norms = torch.stack([square.sum(1) for square in squares]).sum(0)
    torch.testing.assert_close(diffusion.block_distillation(a, b, "norm"), norms)


def test_blocks_of_another_shape_or_missing_do_not_count() -> None:
    a, b = Seen(*_random(1)), Seen(*_random(2))
    fewer = Seen(a.prediction, {"one": a.blocks["one"], "two": a.blocks["two"][:, :1]})
    only_one = (a.blocks["one"] - b.blocks["one"]).square().flatten(1).mean(1)
    torch.testing.assert_close(diffusion.block_distillation(fewer, b), only_one)
    assert diffusion.block_distillation(Seen(a.prediction, {}), b).tolist() == [0.0, 0.0, 0.0]


def test_the_mid_block_counts_unless_it_is_left_out() -> None:
    drawn = (_random(seed) for seed in (1, 2))
    a, b = (Seen(prediction, {"down.0": blocks["one"], "mid": blocks["two"]}) for prediction, blocks in drawn)
    outer, mid = ((a.blocks[name] - b.blocks[name]).square().flatten(1).mean(1) for name in ("down.0", "mid"))
    torch.testing.assert_close(diffusion.block_distillation(a, b, "sum"), outer + mid)
    torch.testing.assert_close(diffusion.block_distillation(a, b, "sum", mid=False), outer)
    torch.testing.assert_close(diffusion.block_distillation(a, b, "mean", mid=False), outer)


def test_where_a_students_last_stage_ends_its_last_transformer_is_compared(tiny: StableDiffusionPipeline) -> None:
    """The student has two stages of the teacher's three, so its second one has no downsampler."""
    teacher, student = _stages(3), _stages(2)
    assert diffusion.early_ends(student, teacher) == (1,)
    assert diffusion.early_ends(teacher, teacher) == diffusion.early_ends(teacher, student) == ()
    assert diffusion.early_ends(tiny.unet, tiny.unet) == ()
    noised = _noised()
    taught, seen = (diffusion.observe(unet, noised, "float32", (1,)) for unet in (teacher, student))
    assert seen.blocks.keys() == {"down.0", "down.1", "down.1.end", "mid", "up.-2", "up.-1"}
    assert taught.blocks.keys() == seen.blocks.keys() | {"down.2", "up.-3"}
    kept: list[Tensor] = []
    for unet, layer in ((teacher, 1), (student, 1)):
        projection = unet.down_blocks[1].attentions[layer].proj_out
        handle = projection.register_forward_hook(lambda m, args, out: kept.append(out))
        unet(noised.x, noised.t, noised.text)
        handle.remove()
    assert torch.equal(kept[0], taught.blocks["down.1.end"]) and torch.equal(kept[1], seen.blocks["down.1.end"])
    names = ["down.0", "down.1.end", "up.-2", "up.-1"]  # down.1 and mid are twice as large in the student
    each = [(seen.blocks[n] - taught.blocks[n]).square().flatten(1).mean(1) for n in names]
    torch.testing.assert_close(diffusion.block_distillation(seen, taught, "sum"), torch.stack(each).sum(0))


def test_a_stage_without_transformers_has_no_end_to_compare() -> None:
    assert diffusion.early_ends(_stages(2, "DownBlock2D"), _stages(3)) == ()
    assert diffusion.early_ends(_stages(2), _stages(3, "DownBlock2D")) == ()


def test_bfloat16_is_confined_to_the_network(tiny: StableDiffusionPipeline) -> None:
    noised = _noised()
    low, full = diffusion.observe(tiny.unet, noised, "bfloat16"), diffusion.observe(tiny.unet, noised)
    assert low.prediction.dtype == torch.float32 and low.blocks["mid"].dtype == torch.float32
    assert not torch.equal(low.prediction, full.prediction)
    torch.testing.assert_close(low.prediction, full.prediction, rtol=0.1, atol=0.1)


def _stages(n: int, kind: str = "CrossAttnDownBlock2D") -> UNet2DConditionModel:
    """A U-Net of n stages, transformers in all or in none."""
    torch.manual_seed(n)
    return UNet2DConditionModel(
        block_out_channels=(8,) * n,
        down_block_types=(kind,) * n,
        up_block_types=("UpBlock2D",) * n,
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
    ).eval()


def _noised() -> Noised:
    noising = Noising.of(scheduler())
    generator = torch.Generator().manual_seed(0)
    draw = Draw.of(noising, (2, 4, 4, 4), generator)
    batch = Batch(torch.randn(2, 4, 4, 4, generator=generator), torch.randn(2, 5, 16, generator=generator))
    return draw.apply(noising, batch, slice(0, 2), None)


def _random(seed: int) -> tuple[Tensor, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"one": (3, 2, 4, 4), "two": (3, 5, 2, 2)}
    return torch.randn(3, 4, 4, 4, generator=generator), {
        name: torch.randn(shape, generator=generator) for name, shape in shapes.items()
    }
