"""The gate space is SD 2.1's as published, and soft gates act per sample, differentiably, and leave no trace."""

from __future__ import annotations

import pytest
import torch

from aptp_bench.errors import PruningError
from aptp_bench.pruning.gates import Gated, GateSpace, gated, guarded
from aptp_bench.pruning.surgery import clone, cut


def half(space: GateSpace, rows: int = 1) -> torch.Tensor:
    return guarded(torch.rand(rows, space.size) < 0.5, space)


def test_space_of_sd21_is_the_papers(sd21):
    space = GateSpace.of(sd21)
    assert (space.size, space.width_size, len(space.widths)) == (1620, 1606, 70)
    kinds = {"resnet": 704, "self_attention": 195, "cross_attention": 195, "feed_forward": 512, "depth": 14}
    assert space.counts() == kinds


def test_order_is_blocks_then_resnets_before_transformers_then_depths(sd21):
    space = GateSpace.of(sd21)
    block = "down_blocks.0.attentions.0.transformer_blocks.0"
    assert [layer.path for layer in space.widths[:5]] == [
        *(f"down_blocks.0.resnets.{i}" for i in (0, 1)),
        *(f"{block}.{part}" for part in ("attn1", "attn2", "ff")),
    ]
    tops = [layer.path.split(".")[0] for layer in space.widths]
    assert list(dict.fromkeys(tops)) == ["down_blocks", "mid_block", "up_blocks"]
    assert [unit.path for unit in space.depths] == [
        path
        for side, last, depths in (("down_blocks", 1, (0, 1, 2)), ("up_blocks", 2, (1, 2, 3)))
        for i in range(4)
        for path in (f"{side}.{i}.resnets.{last}", *([f"{side}.{i}.attentions.{last}"] if i in depths else []))
    ]


def test_spans_tile_the_vector_and_owners_are_containers(unet):
    space = GateSpace.of(unet)
    spans = [unit.span for unit in (*space.widths, *space.depths)]
    assert [s.start for s in spans] == [0, *(s.stop for s in spans[:-1])]
    assert spans[-1].stop == space.size
    for layer in space.widths:
        containers = [i for i, unit in enumerate(space.depths) if f"{layer.path}.".startswith(f"{unit.path}.")]
        assert layer.depth == (containers[0] if containers else None)
        unet.get_submodule(layer.path)


def test_unit_that_changes_the_stream_cannot_be_skipped(build):
    both = {"down_block_types": ("CrossAttnDownBlock2D",) * 2, "up_block_types": ("CrossAttnUpBlock2D",) * 2}
    paths = [unit.path for unit in GateSpace.of(build(**both)).depths]
    assert "down_blocks.0.resnets.0" in paths  # 32 -> 32
    assert "down_blocks.1.resnets.0" not in paths  # 32 -> 64
    assert "down_blocks.1.attentions.0" in paths
    assert not any(path.startswith("mid") for path in paths)


@pytest.mark.parametrize(
    ("channels", "groups", "inner", "gates"), [(24, 4, 96, 32), (56, 7, 224, 32), (36, 6, 144, 24)]
)
def test_feed_forward_that_32_does_not_divide_takes_the_greatest_divisor(channels, groups, inner, gates, build):
    unet = build(block_out_channels=(channels,) * 2, attention_head_dim=2, norm_num_groups=groups)
    found = [layer for layer in GateSpace.of(unet).widths if layer.kind == "feed_forward"]
    assert {(unet.get_submodule(layer.path).net[2].in_features, layer.size) for layer in found} == {(inner, gates)}


def test_several_transformer_blocks_share_a_depth_gate(build):
    space = GateSpace.of(build(transformer_layers_per_block=2))
    owned = [layer.path for layer in space.widths if layer.depth == 1]
    assert [path.removeprefix("down_blocks.0.attentions.0.transformer_blocks.") for path in owned] == [
        "0.attn1", "0.attn2", "0.ff", "1.attn1", "1.attn2", "1.ff",
    ]  # fmt: skip


def test_space_of_a_pruned_network_is_what_is_left(unet):
    space = GateSpace.of(unet)
    keep = half(space)[0]
    left = GateSpace.of(cut(unet, space, keep))
    open_depths = keep[space.width_size :]
    assert len(left.depths) == int(open_depths.sum())
    kept = {layer.path: int(keep[layer.span].sum()) for layer in space.widths}
    resnets = {layer.path: layer.size for layer in left.widths if layer.kind == "resnet"}
    assert resnets and all(kept[path] == size for path, size in resnets.items())


def test_open_gates_change_nothing(unet, inputs):
    space, given = GateSpace.of(unet), inputs(2)
    with torch.no_grad():
        plain = unet(**given).sample
        for placement in ("consumer", "before_norm"):
            with gated(unet, space, torch.ones(1, space.size), placement):
                assert torch.equal(unet(**given).sample, plain)


def test_every_sample_has_its_own_gates(build, inputs):
    unet = build(torch.float64)
    space, given = GateSpace.of(unet), inputs(3, torch.float64)
    gates = torch.rand(3, space.size, dtype=torch.float64)
    with torch.no_grad(), Gated(unet, space) as hooks:
        hooks.set(gates)
        together = unet(**given).sample
        for i in range(3):
            hooks.set(gates[i])
            alone = unet(**{name: x[i : i + 1] for name, x in given.items()}).sample
            torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-12)
        hooks.set(None)
        assert torch.equal(unet(**given).sample, clone(unet)(**given).sample)


def test_depth_gate_mixes_output_and_stream(unet, inputs):
    space = GateSpace.of(unet)
    unit = next(unit for unit in space.depths if unit.path == "up_blocks.1.resnets.1")
    seen: dict[str, torch.Tensor] = {}
    block = unet.get_submodule(unit.path)
    hook = block.register_forward_hook(lambda m, args, out: seen.update(x=args[0], f=out))
    gates = torch.ones(1, space.size)
    gates[:, unit.span] = 0.3
    with torch.no_grad(), gated(unet, space, gates):
        after = block.register_forward_hook(lambda m, args, out: seen.update(y=out))
        unet(**inputs())
    hook.remove()
    after.remove()
    x = seen["x"][:, : seen["f"].shape[1]]
    assert seen["x"].shape[1] == 64
    torch.testing.assert_close(seen["y"], 0.3 * seen["f"] + 0.7 * x)


def test_every_soft_gate_has_a_gradient(build, inputs):
    unet = build(torch.float64)
    space, given = GateSpace.of(unet), inputs(2, torch.float64)
    gates = torch.full((2, space.size), 0.6, dtype=torch.float64, requires_grad=True)
    with gated(unet, space, gates):
        unet(**given).sample.square().mean().backward()
    assert (gates.grad.abs() > 1e-12).all()


def test_gradient_is_that_of_finite_differences(build, inputs):
    unet = build(torch.float64)
    space, given = GateSpace.of(unet), inputs(1, torch.float64)
    gates = torch.rand(1, space.size, dtype=torch.float64, requires_grad=True)

    def loss(at: torch.Tensor) -> torch.Tensor:
        with gated(unet, space, at):
            return unet(**given).sample.square().sum()

    loss(gates).backward()
    for unit in (*space.widths[:4], *space.depths[:2]):
        step = torch.zeros_like(gates)
        step[0, unit.start] = 1e-5
        with torch.no_grad():
            slope = (loss(gates + step) - loss(gates - step)) / 2e-5
        torch.testing.assert_close(gates.grad[0, unit.start], slope, rtol=1e-5, atol=1e-8)


def test_gate_before_the_norm_is_divided_out_again(build, inputs):
    """The truth about the authors' placement: a ResBlock gate hardly moves the output as long as it is not 0."""
    unet = build(torch.float64)
    space, given = GateSpace.of(unet), inputs(1, torch.float64)
    gates = torch.ones(1, space.size, dtype=torch.float64)
    gates[:, [i for layer in space.widths if layer.kind == "resnet" for i in range(layer.start, layer.span.stop)]] = 0.5
    with torch.no_grad():
        plain = unet(**given).sample
        with gated(unet, space, gates, "before_norm"):
            normed = (unet(**given).sample - plain).abs().max()
        with gated(unet, space, gates, "consumer"):
            consumed = (unet(**given).sample - plain).abs().max()
    assert normed < 1e-2 * consumed


def test_authors_placement_gates_transformers_at_their_producers(build, inputs):
    """Closed gates agree wherever they sit: a closed head's values are 0, a closed slice's GEGLU is 0 x gelu(0)."""
    unet = build(torch.float64)
    space, given = GateSpace.of(unet), inputs(2, torch.float64)
    for kind in ("self_attention", "cross_attention", "feed_forward"):
        keep = torch.ones(2, space.size, dtype=torch.float64)
        for layer in space.widths:
            if layer.kind == kind:
                keep[:, layer.start : layer.span.stop : 2] = 0
        outputs = []
        for placement in ("consumer", "before_norm"):
            with torch.no_grad(), gated(unet, space, keep, placement):
                outputs.append(unet(**given).sample)
        torch.testing.assert_close(*outputs, rtol=0, atol=1e-12)


def test_checkpointed_gradients_are_the_same(unet, inputs):
    space, given = GateSpace.of(unet), inputs(2)
    unet.train()
    gradients = []
    for checkpointed in (False, True):
        unet.enable_gradient_checkpointing() if checkpointed else unet.disable_gradient_checkpointing()
        gates = torch.full((2, space.size), 0.5, requires_grad=True)
        with gated(unet, space, gates):
            unet(**given).sample.square().mean().backward()
        gradients.append(gates.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.filterwarnings("ignore:.*Transformer2DModelOutput:FutureWarning")  # diffusers warns of its own output
def test_transformer_keeps_its_container(unet):
    space = GateSpace.of(unet)
    transformer = unet.down_blocks[0].attentions[0]
    x, text = torch.randn(1, 32, 8, 8), torch.randn(1, 7, 128)
    closed = torch.ones(1, space.size)
    closed[:, space.width_size :] = 0
    with torch.no_grad(), gated(unet, space, closed):
        assert torch.equal(transformer(x, encoder_hidden_states=text).sample, x)
        output = transformer(hidden_states=x, encoder_hidden_states=text, return_dict=False)
        assert isinstance(output, tuple) and torch.equal(output[0], x)


def test_hooks_are_gone_after_an_exception(unet, inputs):
    space, given = GateSpace.of(unet), inputs()
    with torch.no_grad():
        before = unet(**given).sample
        with pytest.raises(RuntimeError, match="by the way"), gated(unet, space, torch.rand(1, space.size)):
            raise RuntimeError("by the way")
        assert torch.equal(unet(**given).sample, before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in unet.modules())


def test_gates_that_do_not_fit_are_refused(unet, sd21, inputs):
    space = GateSpace.of(unet)
    with gated(unet, space, torch.rand(3, space.size)), pytest.raises(PruningError, match="3 samples in a batch of 2"):
        unet(**inputs(2))
    with pytest.raises(PruningError, match="use GateSpace"), gated(unet, space, torch.rand(1, space.size - 1)):
        pass
    with pytest.raises(PruningError, match="another network"):
        Gated(unet, GateSpace.of(sd21))
    with pytest.raises(PruningError, match="before_norm"):
        Gated(unet, space, "somewhere")
    with pytest.raises(PruningError, match="shape"), gated(unet, space, torch.rand(1, 1, space.size)):
        pass
    with Gated(unet, space) as hooks, pytest.raises(PruningError, match="already"):
        hooks.__enter__()
    with Gated(unet, space) as hooks:
        hooks.__exit__()
        hooks.__enter__()  # may be used again once it is closed


def test_guard_opens_the_first_gate_of_closed_layers_only(unet):
    space = GateSpace.of(unet)
    keep = torch.ones(2, space.size, dtype=torch.bool)
    closed = space.widths[3]
    keep[1, closed.span] = False
    keep[0, space.widths[5].start] = False
    keep[:, space.width_size :] = False  # depths may all close
    opened = guarded(keep, space)
    assert opened[1, closed.start] and not opened[1, closed.start + 1 : closed.span.stop].any()
    opened[1, closed.start] = False
    assert torch.equal(opened, keep)


def test_guard_on_soft_gates_lets_gradients_through(unet):
    space = GateSpace.of(unet)
    gates = torch.full((space.size,), 0.4)
    gates[space.widths[0].span] = torch.linspace(0.5, 0.1, space.widths[0].size)
    gates.requires_grad_()
    safe = guarded(gates, space)
    assert torch.equal(safe[space.widths[0].span], gates[space.widths[0].span])
    assert all(safe[layer.start] == 1.0 for layer in space.widths[1:])
    safe.sum().backward()
    assert gates.grad.sum() == space.size - (len(space.widths) - 1)
