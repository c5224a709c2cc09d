"""What a network executes, operation by operation: multiply-accumulates and bytes moved, from its geometry alone.

One pass on the meta device: no weights, no kernels, a quarter of a second for SD 2.1. Attention counts as one
fused operation, as PyTorch's flash and memory-efficient kernels execute it: its scores never reach memory. Its backward
pass computes them again (Dao, arXiv:2307.08691): five products where the forward pass has two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from aptp_bench.core.costs import KINDS, Kind, Operation
from aptp_bench.core.living import Living
from aptp_bench.core.meta import Remembered

_PRODUCTS: dict[str, Kind] = {
    "convolution": "convolution",
    "convolution_backward": "convolution",
    **dict.fromkeys(("mm", "addmm", "bmm", "baddbmm"), "linear"),
}
BACKWARD = 2.5  # MACs of attention's backward pass, of those of its forward pass


@dataclass(frozen=True)
class Trace:
    """A pass over one sample: its operations in order, the network's weights, and the most activations alive at once."""

    operations: tuple[Operation, ...]
    weights: int
    peak_activations: int

    def macs(self) -> dict[Kind, int]:
        """MACs by kind of operation; their sum is the `exact` convention's count."""
        return {kind: sum(op.macs for op in self.operations if op.kind == kind) for kind in KINDS}


def trace(network: nn.Module, call: Callable[[Any], object]) -> Trace:
    """The operations of `call(network)`, one sample through a network on the meta device. Hooks nothing, changes nothing."""
    with torch.no_grad():
        recorder = record(lambda _: call(network), [network])
    return Trace(tuple(recorder.operations), sum(recorder.weights.values()), recorder.living.peak)


def record(call: Callable[[Recorder], object], networks: Iterable[nn.Module]) -> Recorder:
    """What `call`, which may go backward too, executes and holds on the meta device beside the tensors of `networks`."""
    tensors = [tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]
    known = {_key(t): t.numel() for t in tensors}
    with _FusedAttention() as fused, Remembered(), Recorder(known, fused) as recorder:
        call(recorder)
    return recorder


def trace_unet(unet: Any, inputs: Mapping[str, Tensor], branch: int | None = None) -> Trace:
    """A U-Net's pass over one sample. inputs: see macs.example_inputs; the network may be anywhere, its weights are not read.

    branch: of a pass that reuses the features of an earlier one there, see models.feature_cache.
    """
    from aptp_bench.models.feature_cache import reusing
    from aptp_bench.pruning.surgery import meta_clone

    twin, given = meta_clone(unet), {name: tensor.to("meta") for name, tensor in inputs.items()}
    if branch is None:
        return trace(twin, lambda network: network(**given))
    with reusing(twin, branch) as turn, torch.no_grad():
        twin(**given)
        turn.full = False
        return trace(twin, lambda network: network(**given))


class Recorder(TorchDispatchMode):
    """Files every operation that moves memory; a view moves none. moments: the numbers that live after each call.

    attention: to be entered where a backward pass, in which PyTorch forgets it, runs parts of the forward pass again.
    """

    def __init__(self, weights: dict[int, int], fused: _FusedAttention) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.moments: list[int] = []
        self.weights, self.living, self.attention = weights, Living(weights), fused

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and file it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        made = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        name = func.overloadpacket.__name__
        sources = {_key(t) for t in given}
        moves = not all(_key(t) in sources for t in made) or func._schema.is_mutable
        if moves and "empty" not in name:
            self.operations.append(self._operation(name, func, given, made, (args, kwargs, result)))
        for tensor in made:
            self.living.note(tensor.untyped_storage(), _stored(tensor))
        self.moments.append(self.living.now)
        if attention := self.attention.take():
            self.operations.append(attention)
        return result

    def _operation(
        self, name: str, func: Any, given: list[Tensor], made: list[Tensor], called: tuple[Any, Any, Any]
    ) -> Operation:
        weights = sum(t.numel() for t in given if _key(t) in self.weights)
        moved = sum(_numbers(t) for t in (*given, *made) if _key(t) not in self.weights)
        args, kwargs, result = called
        formula = flop_registry.get(func.overloadpacket)
        macs = formula(*args, **kwargs, out_val=result) // 2 if formula else 0
        return Operation(name, _PRODUCTS.get(name, "other") if macs else "other", macs, weights, moved)


class _FusedAttention(TorchFunctionMode):
    """Stands in for scaled_dot_product_attention on the meta device, which would spell out its scores."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: Operation | None = None

    def take(self) -> Operation | None:
        """The attention that was called last, once."""
        waiting, self.waiting = self.waiting, None
        return waiting

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Attention gives an empty tensor of its result's shape; all else goes its way."""
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        query, key, value = (*args, *(kwargs or {}).values())[:3]
        return _Attention.apply(self, query, key, value)


class _Attention(torch.autograd.Function):
    """Keeps for its backward pass what the fused kernels keep: inputs, result, and a number a query and head."""

    @staticmethod
    def forward(ctx: Any, fused: _FusedAttention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """query: [..., S, d], key: [..., K, d], value: [..., K, e] -> [..., S, e], empty."""
        ctx.fused = fused
        ctx.macs = math.prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])
        shape = (*query.shape[:-1], value.shape[-1])
        moved = sum(t.numel() for t in (query, key, value)) + math.prod(shape)
        fused.waiting = Operation("scaled_dot_product_attention", "attention", ctx.macs, 0, moved)
        made = query.new_empty(shape)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(query, key, value, made, query.new_empty(query.shape[:-1]))
        return made

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Empty gradients of the three inputs."""
        *given, made, _ = ctx.saved_tensors
        moved = 2 * sum(t.numel() for t in given) + made.numel() + gradient.numel()
        ctx.fused.waiting = Operation("attention_backward", "attention", round(BACKWARD * ctx.macs), 0, moved)
        return None, *(t.new_empty(t.shape) for t in given)


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _numbers(tensor: Tensor) -> int:
    """What reading or writing it moves: an expanded tensor is stored once."""
    return min(tensor.numel(), _stored(tensor))


def _stored(tensor: Tensor) -> int:
    """Numbers that its storage has room for."""
    return tensor.untyped_storage().nbytes() // tensor.element_size()
