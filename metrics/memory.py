"""Peak memory of one U-Net call: its parameters, and the most activation bytes alive at once.

On a GPU the allocator's own count. On the CPU the bytes of all tensors that PyTorch operations returned and that still
live: resident memory depends on the allocator, on threads and on what ran before, this count on the network alone. What
a kernel takes and gives back inside one operation is in the GPU's figure and not in the CPU's; detail says which it is.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from aptp_bench.metrics.latency import call_inputs
from aptp_bench.metrics.timing import conditions, placed
from aptp_bench.plugins import Metric
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from aptp_bench.evaluate import Evidence

MIB = 1 << 20


class PeakMemory(Metric):
    """Most memory that one U-Net call of any expert needs, parameters included."""

    name, unit, better = "peak_memory", "MiB", "lower"
    needs = frozenset({"mixture"})

    def __call__(self, evidence: Evidence) -> Measurement:
        """The largest over the experts; detail has each one's, the dense network's, and all experts' at once."""
        dense = call_memory(evidence.teacher.unet, evidence)
        experts = [call_memory(evidence.mixture.experts[i], evidence) for i in range(len(evidence.mixture))]
        peaks = [each["parameters"] + each["activations"] for each in experts]
        held = sum(each["parameters"] for each in experts) + max(each["activations"] for each in experts)
        facts = conditions(evidence.device, evidence.dtype) | {
            "dense_bytes": dense,
            "experts_bytes": experts,
            "all_held_bytes": held,
        }
        facts |= {"ratio": max(peaks) / (dense["parameters"] + dense["activations"]), "samples": _samples(evidence)}
        counted = "allocator" if evidence.device.type == "cuda" else "live tensors"
        return self.measured(max(peaks) / MIB, n=len(experts), counted=counted, **facts)


def call_memory(unet: nn.Module, evidence: Evidence) -> dict[str, int]:
    """Bytes of one call under guidance: {"parameters": …, "activations": peak beyond them, inputs included}."""
    network = placed(unet, evidence.device, evidence.dtype)

    def call() -> None:
        network(**call_inputs(unet, evidence))

    with torch.no_grad():  # not inference mode, which hides operations from the count
        peak = peak_allocated(call, evidence.device) if evidence.device.type == "cuda" else peak_live(call, network)
    return {"parameters": sum(_storages(network).values()), "activations": peak}


def peak_allocated(call: Callable[[], None], device: torch.device) -> int:
    """Bytes that CUDA's allocator gave out during `call` beyond those it held before, at the worst moment."""
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def peak_live(call: Callable[[], None], network: nn.Module) -> int:
    """Bytes of tensors alive at once during `call`, at the worst moment, without the network's own."""
    with LiveBytes(_storages(network)) as counter:
        call()
    return counter.peak


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of every storage that an operation returns until it is freed; views count once."""

    def __init__(self, known: dict[int, int]) -> None:
        super().__init__()
        self.live, self.peak = 0, 0
        self._known = set(known)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and take note of what it returns."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._note(leaf.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self.live -= size
        self._known.discard(key)


def _storages(network: nn.Module) -> dict[int, int]:
    """Address -> bytes of the storages that hold a network's parameters and buffers."""
    tensors = [*network.parameters(), *network.buffers()]
    return {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}


def _samples(evidence: Evidence) -> int:
    return len(call_inputs(evidence.teacher.unet, evidence)["sample"])
