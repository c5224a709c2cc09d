"""Timing: warm-up, then alternating runs, so that a machine that slows down slows all of them; medians."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any

import diffusers
import torch
from torch import Tensor, nn

from aptp_bench.core.provenance import device_name

Call = Callable[[], object]


def seconds(call: Call, device: torch.device) -> float:
    """Wall time of one call: CUDA events around it on a GPU, the performance counter elsewhere."""
    if device.type != "cuda":
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    call()
    end.record()
    torch.cuda.synchronize(device)
    return begin.elapsed_time(end) / 1000


def alternately(calls: Mapping[str, Call], device: torch.device, warmup: int, repeats: int) -> dict[str, Tensor]:
    """Seconds of every call, [repeats] each: `warmup` untimed rounds, then rounds in which each call runs once."""
    for _ in range(warmup):
        for call in calls.values():
            call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    rounds = [{name: seconds(call, device) for name, call in calls.items()} for _ in range(repeats)]
    return {name: torch.tensor([each[name] for each in rounds], dtype=torch.float64) for name in calls}


def summary(times: Tensor) -> dict[str, float | int]:
    """Median and quartiles of times: [n], and n."""
    low, middle, high = torch.quantile(times, torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)).tolist()
    return {"median_s": middle, "q25_s": low, "q75_s": high, "n": len(times)}


def resampled_medians(times: Tensor, resamples: int, generator: torch.Generator) -> Tensor:
    """times: [n] -> medians of bootstrap resamples, [resamples]; the first is the median of the times themselves."""
    drawn = torch.randint(len(times), (resamples, len(times)), generator=generator)
    drawn[0] = torch.arange(len(times))
    return times[drawn].quantile(0.5, dim=1)


def placed(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The module itself if it is in eval mode, on the device and in that type, else such a copy."""
    tensors = [*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())]
    if not module.training and all(t.device.type == device.type and t.dtype == dtype for t in tensors):
        return module
    return copy.deepcopy(module).to(device, dtype).eval()


def conditions(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """What a time depends on beside the network."""
    return {
        "device": device_name(device),
        "dtype": str(dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "tf32": {"product": torch.backends.cuda.matmul.allow_tf32, "convolution": torch.backends.cudnn.allow_tf32},
    }
