"""Ways of running one network: type, batch, memory layout, compiled or not; a pruned network gains differently in each."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt

from aptp_bench.core.documents import Frozen
from aptp_bench.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import nn

Dtype = Literal["float32", "float16", "bfloat16"]
SHORT: dict[str, Dtype] = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
NETWORKS = 64  # compiled side by side; beyond its limit PyTorch runs them eager without a word
CLOCKS = ("clocks.sm", "clocks.max.sm", "clocks.mem", "power.limit", "temperature.gpu")


class Setup(Frozen):
    """One way of running: images made together (guidance doubles the samples), type, layout, compiled or eager."""

    dtype: Dtype = "float32"
    batch: PositiveInt = 1
    compiled: bool = False
    channels_last: bool = False
    tf32: bool = Field(False, description="float32 products at TF32 too; PyTorch's default is off")

    @property
    def name(self) -> str:
        """For example "bfloat16, batch 1, compiled"."""
        words = ["channels last"] * self.channels_last + ["TF32"] * self.tf32
        return ", ".join([self.dtype, f"batch {self.batch}", *words, "compiled" if self.compiled else "eager"])

    @property
    def torch_dtype(self) -> torch.dtype:
        """torch's type."""
        import torch

        return getattr(torch, self.dtype)

    def ready(self, network: nn.Module, device: torch.device) -> Any:
        """A network to be timed so: the given one where it fits as it is, else a copy. The given one is left as it was."""
        import torch
        from torch import nn

        from aptp_bench.profiling.timing import placed  # inside, as torch: records of speed are read without it

        torch.backends.cuda.matmul.allow_tf32 = self.tf32
        made = placed(network, device, self.torch_dtype)
        if self.channels_last:
            made = nn.Module.to(placed_copy(made, network), memory_format=torch.channels_last)
        if not self.compiled:
            return made
        torch._dynamo.config.cache_size_limit = max(NETWORKS, torch._dynamo.config.cache_size_limit)
        return torch.compile(made, dynamic=False)


def parse(dtypes: str, batches: str, compiled: bool, channels_last: bool) -> list[Setup]:
    """Setups from "fp32,bf16" and "1,4": eager ones, and compiled ones too where asked. Raises ConfigError."""
    kinds = []
    for short in dtypes.split(","):
        if short not in SHORT:
            raise ConfigError(f"unknown type '{short}'; use --dtype with {', '.join(SHORT)}, commas between")
        kinds.append(SHORT[short])
    if not all(part.isdigit() and int(part) for part in batches.split(",")):
        raise ConfigError(f"'{batches}' are no batch sizes; use --batch 1 or --batch 1,4,16")
    sizes = [int(part) for part in batches.split(",")]
    ways = [False, True] if compiled else [False]
    return [
        Setup(dtype=dtype, batch=size, compiled=way, channels_last=channels_last)
        for dtype in kinds
        for size in sizes
        for way in ways
    ]


def placed_copy(made: nn.Module, given: nn.Module) -> nn.Module:
    """`made`, or a copy of it where it is the given network itself, which nobody may change."""
    import copy

    return copy.deepcopy(made) if made is given else made


def clocks(device: torch.device) -> dict[str, str]:
    """The GPU's clocks, power limit and temperature now, as nvidia-smi says them; empty where there is none."""
    if device.type != "cuda":
        return {}
    query = ["nvidia-smi", f"--query-gpu={','.join(CLOCKS)}", "--format=csv,noheader", f"--id={device.index or 0}"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
        return dict(zip(CLOCKS, (part.strip() for part in done.stdout.strip().split(",")), strict=False))
    return {}
