"""Images that do not depend, to the last bit, on which prompts share a batch.

On a CPU, convolutions, attention and norms work sample by sample already. Linear layers do not: a batch is one matrix
product, and the library chooses how to sum by the number of its rows. In float32 that is some 1e-6 a call, which
guidance and 25 steps make 1e-3 of the latents. Here each sample's rows are a product of their own; all else is batched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode


class RowByRow(TorchFunctionMode):
    """While entered, a linear layer multiplies each sample's rows alone; the first dimension is the samples'."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """`func(*args, **kwargs)`, sample by sample where it is a linear layer."""
        if func is not F.linear or not args or len(args[0]) < 2:
            return func(*args, **(kwargs or {}))
        x, *weights = args
        return torch.cat([func(x[i : i + 1], *weights, **(kwargs or {})) for i in range(len(x))])
