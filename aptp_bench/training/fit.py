"""How a step is made to fit a device's memory: in parts, without keeping activations. Neither decides a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from aptp_bench.core.costs import USED, StepCost
from aptp_bench.core.distributed import Ranks
from aptp_bench.core.settings import Parts, Precision


def parts(asked: Parts, batch: int, precision: Precision, device: torch.device, count: Callable[[], StepCost]) -> int:
    """The parts that are asked for; of "auto" the fewest in which a process's share of the batch fits its GPU.

    One where memory is not known, as on a CPU; one a sample where nothing fits, so that the GPU says so. The networks lie
    on the device already. count: the step's cost.
    """
    if asked != "auto":
        return asked
    ranks = Ranks.here()
    room = _free(device)
    share = math.ceil(batch / ranks.size)
    found = 1 if room is None else count().fitting(share, USED * room, precision, ranks.size) or share
    if ranks.size == 1:
        return found
    from accelerate.utils import gather_object

    return max(gather_object([found]))  # the processes' parts tile the batch, so they are as many everywhere


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
