"""Images that do not depend, to the last bit, on which prompts share a batch.

On a CPU, attention works sample by sample already. Linear layers, convolutions and group norms do not: libraries choose
how to sum by the number of rows or samples, and by the strides, which a batch of one has otherwise. In float32 that is
some 1e-6 a call, which guidance and 25 steps make 1e-3 of the latents. Here each sample is a call of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

ALONE = (F.linear, F.conv2d, F.group_norm)


class RowByRow(TorchFunctionMode):
    """While entered, the layers of ALONE compute each sample alone; the first dimension is the samples'."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """`func(*args, **kwargs)`, sample by sample where it is one of these layers."""
        if func not in ALONE or not args or len(args[0]) == 0:
            return func(*args, **(kwargs or {}))
        x, *settings = args
        return torch.cat([func(x[i : i + 1].contiguous(), *settings, **(kwargs or {})) for i in range(len(x))])
