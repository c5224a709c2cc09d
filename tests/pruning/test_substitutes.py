"""Every substitute runs where it is put, keeps the shapes, and can be rebuilt from its settings."""

from __future__ import annotations

import pytest
import torch

from aptp_bench.pruning.substitutes import (
    SUBSTITUTES,
    Identity,
    NearestUpsample,
    Pointwise,
    PoolDownsample,
    PoolPointwise,
    SkipResnet,
    SkipTransformer,
    UpsamplePointwise,
    Zeros,
    name_of,
)
from aptp_bench.pruning.surgery import swapped

BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
PLACES = {
    "mid_block.resnets.0": SkipResnet(64),
    "up_blocks.1.resnets.1": SkipResnet(32),
    "down_blocks.1.resnets.0": Pointwise(32, 64),
    "down_blocks.0.resnets.0.conv1": Pointwise(32, 32, bias=False),
    "down_blocks.0.resnets.0.conv2": Identity(),
    "down_blocks.0.resnets.0.norm1": Identity(),
    "down_blocks.0.resnets.0.time_emb_proj": Zeros(32),
    "mid_block.attentions.0": SkipTransformer(),
    "mid_block.attentions.0.proj_in": Identity(),
    f"{BLOCK}.attn1": Zeros(),
    f"{BLOCK}.attn2": Zeros(),
    f"{BLOCK}.ff": Zeros(),
    "down_blocks.0.downsamplers.0": PoolDownsample(),
    "up_blocks.0.upsamplers.0": NearestUpsample(),
}
COMBINED = {
    "down_blocks.0.downsamplers.0": PoolPointwise(32, 32),
    "up_blocks.0.upsamplers.0": UpsamplePointwise(64, 64),
}
PUT = [*PLACES.items(), *COMBINED.items()]


@pytest.mark.parametrize(("path", "module"), PUT, ids=[path for path, _ in PUT])
def test_network_runs_and_changes(path, module, unet, inputs):
    given = inputs(2, size=7)  # odd sizes round up
    with torch.no_grad():
        plain = unet(**given).sample
        with swapped(unet, path, module):
            changed = unet(**given).sample
        assert changed.shape == plain.shape and not torch.equal(changed, plain)
        assert torch.equal(unet(**given).sample, plain)


@pytest.mark.parametrize("module", [module for _, module in PUT], ids=[path for path, _ in PUT])
def test_settings_rebuild_it(module):
    again = SUBSTITUTES[name_of(module)](**module.settings)
    assert type(again) is type(module)
    assert {n: t.shape for n, t in again.state_dict().items()} == {n: t.shape for n, t in module.state_dict().items()}


def test_only_table_entries_have_names():
    assert name_of(torch.nn.Identity()) is None
    assert {name_of(module) for _, module in PUT} == set(SUBSTITUTES)


def test_pointwise_takes_over_what_a_convolution_does_to_flat_images():
    conv = torch.nn.Conv2d(3, 5, 3, padding=1)
    flat = torch.randn(1, 3, 1, 1).expand(1, 3, 5, 5)
    inner = (slice(None), slice(None), 2, 2)  # away from the padding
    torch.testing.assert_close(Pointwise.after(conv)(flat)[inner], conv(flat)[inner])


def test_resampling_rounds_as_the_convolutions_do():
    assert PoolDownsample()(torch.randn(1, 2, 5, 7)).shape == (1, 2, 3, 4)
    assert NearestUpsample()(torch.randn(1, 2, 3, 4)).shape == (1, 2, 6, 8)
    assert NearestUpsample()(torch.randn(1, 2, 3, 4), torch.Size([5, 7])).shape == (1, 2, 5, 7)
    assert PoolPointwise(2, 3)(torch.randn(1, 2, 5, 7)).shape == (1, 3, 3, 4)
    assert UpsamplePointwise(2, 3)(torch.randn(1, 2, 3, 4), (5, 7)).shape == (1, 3, 5, 7)


@pytest.mark.parametrize("module", [NearestUpsample(), UpsamplePointwise(2, 2)])
def test_a_resblocks_time_embedding_is_no_size(module):
    assert module(torch.randn(3, 2, 3, 4), torch.randn(3, 16)).shape == (3, 2, 6, 8)
