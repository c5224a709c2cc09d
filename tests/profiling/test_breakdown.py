from __future__ import annotations

import pytest

from aptp_bench.budget import CONVENTIONS
from aptp_bench.errors import CountError
from aptp_bench.methods.bk_sdm import build, dense, family, fixed
from aptp_bench.models.stable_diffusion import SD15, SD21, SD21Base
from aptp_bench.profiling.breakdown import as_others_count, breakdown
from aptp_bench.pruning.macs import count, example_inputs, parameters


def test_a_tree_adds_up_in_every_convention(small_sd) -> None:
    inputs = example_inputs(small_sd.unet, tokens=32)
    tree = breakdown(small_sd.unet, inputs)
    assert tree.macs == {name: count(small_sd.unet, inputs, name).total for name in CONVENTIONS}
    for name, total in tree.macs.items():
        assert sum(child.macs[name] for child in tree.children) == total
    assert sum(child.parameters for child in tree.children) == tree.parameters == parameters(small_sd.unet)


def test_blocks_come_in_the_order_of_the_work(small_sd) -> None:
    tree = breakdown(small_sd.unet, example_inputs(small_sd.unet, tokens=32))
    names = [child.name for child in tree.children]
    wanted = ["conv_in", "down_blocks.0", "down_blocks.1", "mid_block", "up_blocks.0", "conv_out"]
    assert [name for name in names if name in wanted] == wanted
    assert "time_proj" not in names  # neither MACs nor parameters


def test_a_block_is_what_the_counter_files_under_its_path(small_sd) -> None:
    unet = small_sd.unet
    inputs = example_inputs(unet, tokens=32)
    whole = count(unet, inputs, "exact")
    seen = 0
    for depth, block in breakdown(unet, inputs).walk():
        if depth:
            assert block.macs["exact"] == whole.under(block.path)
            assert block.parameters == parameters(unet.get_submodule(block.path))
            seen += 1
    assert seen > 30


def test_attentions_and_feed_forwards_are_leaves_of_a_transformer(small_sd) -> None:
    tree = breakdown(small_sd.unet, example_inputs(small_sd.unet, tokens=32))
    paths = {block.path: [child.name for child in block.children] for _, block in tree.walk()}
    parts = paths["down_blocks.0.attentions.0.transformer_blocks.0"]
    assert {"attn1", "attn2", "ff"} <= set(parts)


def test_a_network_that_no_convention_counts_is_an_error(small_sd) -> None:
    from torch import nn

    from aptp_bench.pruning.surgery import meta_clone

    unet = meta_clone(small_sd.unet)
    unet.conv_out = nn.Conv1d(4, 4, 1, device="meta")
    with pytest.raises(CountError, match="Conv1d"):
        breakdown(unet, example_inputs(unet, tokens=32))


def figures(unet, latent: int) -> tuple[float, ...]:
    """Parameters, convolutions and linear layers (thop), attention products, both together, the authors' counter."""
    inputs = example_inputs(unet, latent)
    layers, products, authors = as_others_count(unet, inputs).values()
    counts = (layers, products, count(unet, inputs, "exact").total, authors)
    return (round(parameters(unet) / 1e6, 1), *(round(number / 1e9, 1) for number in counts))


@pytest.mark.parametrize(
    ("kind", "latent", "row"),
    [
        (SD15, 64, (859.5, 338.6, 63.0, 401.6, 462.5)),
        (SD21Base, 64, (865.9, 339.1, 63.0, 402.1, 462.6)),
        (SD21, 96, (865.9, 760.5, 314.1, 1074.6, 1385.5)),
    ],
)
def test_what_others_count_of_stable_diffusion(kind, latent, row) -> None:
    assert figures(kind().skeleton(), latent) == row


@pytest.mark.parametrize(
    ("kind", "variant", "row"),
    [(SD21Base, "small", (485.8, 217.9, 37.8, 255.7)), (SD21, "tiny", (326.8, 460.4, 188.4, 648.8))],
)
def test_what_others_count_of_bk_sdm(kind, variant, row) -> None:
    teacher = kind().skeleton()
    whole = dense(teacher)
    unet = build(teacher, fixed(variant, whole, family(teacher, whole)))
    assert figures(unet, kind.latent_size)[:-1] == row
