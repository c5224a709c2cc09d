from __future__ import annotations

import pytest
import torch

from aptp_bench.errors import CheckpointError
from aptp_bench.models.architecture import Architecture
from aptp_bench.pruning import surgery
from aptp_bench.pruning.macs import count, example_inputs
from tests.models.test_checkpoint import cut_at_random, substituted


def shapes(unet) -> dict:
    return {name: tuple(tensor.shape) for name, tensor in unet.state_dict().items()}


@pytest.mark.parametrize("change", [lambda unet: unet, cut_at_random, substituted], ids=["whole", "cut", "substituted"])
def test_a_network_is_built_again_without_its_weights(unet, change) -> None:
    made = change(unet)
    told = Architecture.model_validate_json(Architecture.of(made).model_dump_json())
    built = told.build()
    assert shapes(built) == shapes(made) and all(p.is_meta for p in built.parameters())
    inputs = example_inputs(surgery.meta_clone(made))
    assert count(built, inputs, "exact") == count(surgery.meta_clone(made), inputs, "exact")
    drawn = told.drawn("cpu")
    outputs = [net(**{k: torch.ones(v.shape) for k, v in inputs.items()}).sample for net in (drawn, made)]
    assert outputs[0].shape == outputs[1].shape and outputs[0].isfinite().all()


def test_weights_are_decided_by_the_seed_and_leave_torchs_generator_alone(unet) -> None:
    told = Architecture.of(cut_at_random(unet))
    before = torch.get_rng_state()
    one, same, other = told.drawn("cpu"), told.drawn("cpu"), told.drawn("cpu", seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    pairs = zip(one.state_dict().values(), same.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(one.conv_in.weight, other.conv_in.weight)


def test_parts_that_do_not_fit_are_refused(unet) -> None:
    told = Architecture.of(unet)
    with pytest.raises(CheckpointError, match="attn9"):
        told.model_copy(update={"shapes": {"mid_block.attn9": (3, 3)}}).build()
