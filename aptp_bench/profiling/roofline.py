"""A predicted latency: what a device's peak and bandwidth allow at best, operation by operation, run one after another.

Roofline model (Williams, Waterman, Patterson, CACM 2009): an operation takes the longer of computing and of moving its
bytes. No kernel reaches its peak, launches cost time, and caches save some: a bound to set beside measurements, always
called predicted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aptp_bench.core.costs import Operation
from aptp_bench.profiling.devices import GIGA, TERA, Device
from aptp_bench.profiling.setups import Dtype

BYTES: dict[Dtype, int] = {"float32": 4, "float16": 2, "bfloat16": 2}


def predicted_seconds(
    operations: Iterable[Operation], device: Device, dtype: Dtype, samples: int = 1, tf32: bool = False
) -> float:
    """Seconds of one pass over `samples` samples: the sum over operations of max(compute, memory).

    tf32: whether float32 products are at the convolutions' precision too.
    """
    how = (device, dtype, samples)
    return sum(max(_computing(op, *how, tf32), _moving(op, *how)) for op in operations)


def bound_by_memory(operations: Sequence[Operation], device: Device, dtype: Dtype, samples: int = 1) -> float:
    """Share of the predicted seconds in operations that wait for memory."""
    how = (device, dtype, samples)
    each = [(_computing(op, *how), _moving(op, *how)) for op in operations]
    waiting = sum(moving for computing, moving in each if moving > computing)
    return waiting / predicted_seconds(operations, device, dtype, samples)


def _computing(op: Operation, device: Device, dtype: Dtype, samples: int, tf32: bool = False) -> float:
    peak = (device.convolution if tf32 or op.kind == "convolution" else device.product)[dtype]
    return 2 * op.scaled(samples)[0] / (peak * TERA)


def _moving(op: Operation, device: Device, dtype: Dtype, samples: int) -> float:
    return BYTES[dtype] * op.scaled(samples)[1] / (device.bandwidth * GIGA)
