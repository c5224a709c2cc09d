"""How a step is made to fit a device's memory: in parts, without activations, with a part of the network. None decides a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from aptp_bench.core.costs import USED, StepCost
from aptp_bench.core.distributed import Ranks, check_batch
from aptp_bench.core.settings import Parts, Precision
from aptp_bench.errors import TrainingError

SHARES_ON_CPU = hasattr(torch.cpu.Stream, "record_event")  # what FSDP2 waits for; older releases have it of GPUs alone


def parts(
    asked: Parts,
    batch: int,
    precision: Precision,
    device: torch.device,
    count: Callable[[], StepCost],
    shard: bool = False,
) -> int:
    """The parts that are asked for; of "auto" the fewest in which a process's share of the batch fits its GPU.

    One where memory is not known, as on a CPU; one a sample where nothing fits, so that the GPU says so. Never more than
    leaves a sample for each: networks pass none on. The networks lie on the device already. count: the step's cost; shard:
    whether the processes share the network. Raises TrainingError where the batch is smaller than the processes are many.
    """
    ranks = Ranks.here()
    check_batch(batch)
    most = batch // ranks.size
    if asked != "auto":
        return min(asked, most)
    room = _free(device)
    share = math.ceil(batch / ranks.size)
    shards = ranks.size if shard else 1
    found = 1 if room is None else count().fitting(share, USED * room, precision, ranks.size, shards) or share
    return min(most, max(ranks.gathered(found)))  # the processes' parts tile the batch, so they are as many everywhere


def sharded(unet: Any, wanted: bool) -> Any:
    """The U-Net, of which each of several processes holds a part from now on if that is wanted: layer by layer, by FSDP2.

    As one process trains it, to rounding. Raises TrainingError where this PyTorch cannot.
    """
    ranks = Ranks.here()
    if not wanted or ranks.size == 1:
        return unet
    if unet.device.type == "cpu" and not SHARES_ON_CPU:
        raise TrainingError(f"PyTorch {torch.__version__} shares networks between GPUs only; leave out finetune.shard")
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(unet.device.type, (ranks.size,))
    for layer in layers(unet):
        fully_shard(layer, mesh=mesh)
    return fully_shard(unet, mesh=mesh)


def layers(unet: Any) -> list[nn.Module]:
    """What is gathered at once where processes share a U-Net: resnets, transformers and resamplers that have parameters."""
    blocks = [block for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks) if block is not None]
    found = [
        layer for block in blocks for each in block.children() if isinstance(each, nn.ModuleList) for layer in each
    ]
    return [layer for layer in found if any(True for _ in layer.parameters())]


@contextmanager
def checkpointed(unet: Any, wanted: bool) -> Iterator[None]:
    """Inside, a U-Net forgets its activations if that is wanted, and computes them again in the backward pass."""
    if not wanted:
        yield
        return
    unet.enable_gradient_checkpointing()
    try:
        yield
    finally:
        unet.disable_gradient_checkpointing()


def _free(device: torch.device) -> int | None:
    """Bytes of a GPU that nobody holds, PyTorch's own reserve counted as free; None where it is not known."""
    if device.type != "cuda":
        return None
    reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + reserve
