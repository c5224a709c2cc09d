"""A network cut at 0/1 gates computes what the gated one does, at the size that the gates say."""

from __future__ import annotations

import pytest
import torch

from aptp_bench.errors import PruningError
from aptp_bench.models.checkpoint import save_unet
from aptp_bench.pruning import surgery
from aptp_bench.pruning.gates import GateSpace, gated, guarded
from aptp_bench.pruning.substitutes import Identity, SkipResnet, SkipTransformer, Zeros

NETWORKS = {
    "plain": {},
    "four levels of 32 groups": {
        "block_out_channels": (32, 64, 128, 128),
        "attention_head_dim": [2, 4, 8, 8],
        "down_block_types": (*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"),
        "up_block_types": ("UpBlock2D", *["CrossAttnUpBlock2D"] * 3),
        "norm_num_groups": 32,
        "layers_per_block": 2,
    },
    "conv projections": {"use_linear_projection": False, "addition_embed_type": None},
    "scale and shift": {"resnet_time_scale_shift": "scale_shift"},
    "two transformer blocks": {"transformer_layers_per_block": 2},
    "odd widths": {"block_out_channels": (24, 48), "attention_head_dim": [2, 3]},
}


def random_keep(space: GateSpace, seed: int, share: float = 0.6) -> torch.Tensor:
    draws = torch.rand(space.size, generator=torch.Generator().manual_seed(seed))
    return guarded(draws < share, space)


def largest_gap(unet, space: GateSpace, keep: torch.Tensor, given: dict, placement: str = "consumer") -> float:
    with torch.no_grad():
        with gated(unet, space, keep[None].to(unet.dtype), placement):
            soft = unet(**given).sample
        return float((surgery.cut(unet, space, keep)(**given).sample - soft).abs().max())


@pytest.mark.parametrize("name", NETWORKS)
def test_gated_is_cut(name, build, inputs):
    unet = build(torch.float64, **NETWORKS[name])
    space = GateSpace.of(unet)
    shares = (0.0, 0.6, 1.0) if name == "plain" else (0.3, 0.6)
    for seed, share in enumerate(shares):
        assert largest_gap(unet, space, random_keep(space, seed, share), inputs(2, torch.float64)) <= 1e-10


def test_gated_is_cut_in_single_precision(unet, inputs):
    space = GateSpace.of(unet)
    assert largest_gap(unet, space, random_keep(space, 0), inputs(2)) <= 1e-5


def test_authors_placement_is_not_cut(build, inputs):
    unet = build(torch.float64)
    space = GateSpace.of(unet)
    gap = largest_gap(unet, space, random_keep(space, 0), inputs(2, torch.float64), "before_norm")
    assert gap > 1e-3  # a closed group still leaves norm2's bias


def test_widths_are_those_of_the_gates(unet):
    space = GateSpace.of(unet)
    keep = torch.ones(space.size, dtype=torch.bool)
    resnet, attention, _, feed_forward = space.widths[:4]
    keep[resnet.start + 2] = keep[attention.start] = keep[feed_forward.start] = False
    block = surgery.cut(unet, space, keep).down_blocks[0]
    assert (block.resnets[0].conv1.out_channels, block.resnets[0].norm2.num_groups) == (28, 7)
    transformer = block.attentions[0].transformer_blocks[0]
    assert (transformer.attn1.heads, transformer.attn1.to_q.out_features, transformer.attn2.heads) == (1, 16, 2)
    assert (transformer.ff.net[0].proj.out_features, transformer.ff.net[2].in_features) == (248, 124)


def test_units_that_go_are_the_ones_closed(unet):
    """Not merely as many: the rows that stay are the teacher's rows of the open gates."""
    space = GateSpace.of(unet)
    keep = torch.ones(space.size, dtype=torch.bool)
    layer = space.widths[0]
    keep[layer.start + 3] = False
    ours, theirs = surgery.cut(unet, space, keep).down_blocks[0].resnets[0], unet.down_blocks[0].resnets[0]
    rows = [i for i in range(32) if not 12 <= i < 16]
    assert torch.equal(ours.conv1.weight, theirs.conv1.weight[rows])
    assert torch.equal(ours.time_emb_proj.bias, theirs.time_emb_proj.bias[rows])
    assert torch.equal(ours.conv2.weight, theirs.conv2.weight[:, rows])
    assert torch.equal(ours.conv2.bias, theirs.conv2.bias)


def test_closed_units_leave_no_parameters(unet):
    space = GateSpace.of(unet)
    keep = torch.ones(space.size, dtype=torch.bool)
    keep[space.width_size :] = False
    keep[[i for layer in space.widths if layer.depth is not None for i in range(layer.start, layer.span.stop)]] = False
    student = surgery.cut(unet, space, keep)
    skipped = {path: type(student.get_submodule(path)) for path in (unit.path for unit in space.depths)}
    assert set(skipped.values()) == {SkipResnet, SkipTransformer}
    assert not any(name.startswith(f"{path}.") for name, _ in student.named_parameters() for path in skipped)


def test_teacher_is_left_as_it_was(unet, inputs):
    space, given = GateSpace.of(unet), inputs()
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    unet.conv_in.requires_grad_(False)  # copied whole
    unet.mid_block.resnets[0].conv1.requires_grad_(False)  # cut
    student = surgery.cut(unet, space, random_keep(space, 0))
    frozen = {name.rpartition(".")[0] for name, p in student.named_parameters() if not p.requires_grad}
    assert frozen == {"conv_in", "mid_block.resnets.0.conv1"}
    student.train()
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.fill_(7.0)
    assert not unet.training and GateSpace.of(unet) == space
    assert all(torch.equal(tensor, before[name]) for name, tensor in unet.state_dict().items())
    assert unet(**given).sample.isfinite().all()


def test_cut_network_can_be_trained(unet, inputs):
    space = GateSpace.of(unet)
    student = surgery.cut(unet, space, random_keep(space, 0)).train()
    student(**inputs(2)).sample.square().mean().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in student.parameters())


def test_cut_network_can_be_cut_again(build, inputs):
    unet = build(torch.float64)
    for seed in range(2):
        space = GateSpace.of(unet)
        keep = random_keep(space, seed)
        assert largest_gap(unet, space, keep, inputs(1, torch.float64)) <= 1e-10
        unet = surgery.cut(unet, space, keep)


def test_cut_needs_no_weights(sd21):
    space = GateSpace.of(sd21)
    student = surgery.cut(sd21, space, random_keep(space, 0))
    assert all(p.is_meta for p in student.parameters())
    assert sum(p.numel() for p in student.parameters()) < 0.8 * sum(p.numel() for p in sd21.parameters())


def test_empty_layer_is_refused_by_name(unet):
    space = GateSpace.of(unet)
    keep = torch.ones(space.size, dtype=torch.bool)
    keep[space.widths[2].span] = False
    with pytest.raises(PruningError, match=r"down_blocks\.0.*attn2.*guarded"):
        surgery.cut(unet, space, keep)


def test_keep_that_does_not_fit_is_refused(unet):
    space = GateSpace.of(unet)
    for keep in (torch.ones(3, dtype=torch.bool), torch.ones(space.size)):
        with pytest.raises(PruningError, match=rf"bool \[{space.size}\]"):
            surgery.cut(unet, space, keep)


def test_foreign_space_is_refused(unet, sd21):
    space = GateSpace.of(sd21)
    with pytest.raises(PruningError, match="another network"):
        surgery.cut(unet, space, torch.ones(space.size, dtype=torch.bool))


def test_clone_takes_no_hooks_and_shares_no_memory(unet, inputs):
    given, space = inputs(), GateSpace.of(unet)
    with torch.no_grad():
        plain = unet(**given).sample
        with gated(unet, space, torch.zeros(1, space.size)):
            twin = surgery.clone(unet)
            assert torch.equal(twin(**given).sample, plain)
    ours = {p.data_ptr() for p in twin.parameters()}
    assert ours.isdisjoint(p.data_ptr() for p in unet.parameters())


def test_substitution_by_path(unet, inputs):
    given, path = inputs(), "mid_block.attentions.0.transformer_blocks.0.ff"
    with torch.no_grad():
        plain = unet(**given).sample
        with pytest.raises(RuntimeError, match="oops"), surgery.swapped(unet, path, Zeros()):
            assert not torch.equal(unet(**given).sample, plain)
            raise RuntimeError("oops")
        assert torch.equal(unet(**given).sample, plain)
    old = surgery.substitute_(unet, path, Zeros())
    assert type(old).__name__ == "FeedForward" and isinstance(unet.get_submodule(path), Zeros)


def test_path_that_matches_nothing_is_an_error_with_the_nearest_name(unet):
    with pytest.raises(PruningError, match=r"did you mean 'mid_block\.resnets\.1'"):
        surgery.substitute_(unet, "mid_block.resnet.1", Identity())
    with pytest.raises(PruningError, match="no module"):
        surgery.clone(unet, modules={"nothing": Identity()})
    with pytest.raises(PruningError, match="Attention"):
        surgery.fix_attributes_(unet, {"mid_block": 3})


def test_attributes_follow_the_weights(unet):
    attention = unet.mid_block.attentions[0].transformer_blocks[0].attn1
    for name in ("to_q", "to_k", "to_v"):
        projection = getattr(attention, name)
        projection.weight = torch.nn.Parameter(projection.weight[:48])
    attention.to_out[0].weight = torch.nn.Parameter(attention.to_out[0].weight[:, :48])
    surgery.fix_attributes_(unet, {"mid_block.attentions.0.transformer_blocks.0.attn1": 2})
    assert (attention.inner_dim, attention.inner_kv_dim, attention.sliceable_head_dim) == (48, 48, 2)
    assert attention.scale == 24**-0.5 and attention.to_out[0].in_features == 48
    with pytest.raises(PruningError, match="attn1"):
        surgery.fix_attributes_(unet, {"mid_block.attentions.0.transformer_blocks.0.attn1": 7})


@pytest.mark.parametrize("do", ["cut", "save"])
def test_layers_that_share_weights_are_refused_in_one_line(unet, tmp_path, do):
    space = GateSpace.of(unet)
    keep = guarded(torch.rand(space.size) < 0.5, space)

    def work():
        return surgery.cut(unet, space, keep) if do == "cut" else save_unet(unet, tmp_path / "network")

    work()
    own = unet.mid_block.resnets[0].conv2.weight
    unet.mid_block.resnets[0].conv2.weight = unet.mid_block.resnets[0].conv1.weight
    with pytest.raises(PruningError, match="one tensor"):
        work()
    unet.mid_block.resnets[0].conv2.weight = own
    unet.fuse_qkv_projections()
    with pytest.raises(PruningError, match="fused projections"):
        work()
