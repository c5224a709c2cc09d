"""What networks execute and hold, as plain numbers: counted once from a geometry, then priced without torch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from aptp_bench.core.documents import Frozen
from aptp_bench.core.settings import Precision

Kind = Literal["convolution", "linear", "attention", "other"]
KINDS: tuple[Kind, ...] = ("convolution", "linear", "attention", "other")
Line = tuple[int, int]  # numbers alive at a moment: in a step of no samples, and of every sample more

FLOAT = 4  # bytes of a float32, which parameters, gradients and moments are
HALF = 0.5  # of a float32's bytes is a bfloat16
MIXED = 0.6  # of its bytes in float32 is what a sample holds under bfloat16 autocast, which leaves norms and sums as they are
USED = 0.9  # of a device's memory: libraries want some room to work in, and what is freed is not all of one piece
GATHERED = 5  # numbers a parameter of a layer that is gathered: its weights, the next one's, its gradients, what is sent of both
MOMENTS = 2  # numbers that AdamW keeps for every parameter


@dataclass(frozen=True)
class Operation:
    """One kernel on one sample: `macs` and what it moves, in numbers (times the bytes of a type). weights: parameters read."""

    name: str
    kind: Kind
    macs: int
    weights: int
    activations: int

    def scaled(self, samples: int) -> tuple[int, int]:
        """(MACs, numbers moved) for a batch: weights are read once, activations are a sample's times `samples`."""
        return self.macs * samples, self.weights + self.activations * samples


class StepCost(Frozen):
    """A step on one part of a batch. operations: of one sample, forward and backward, a teacher's forward pass among them.

    trained: parameters that have gradients and moments; cast: those whose copies in half precision a backward pass keeps;
    widest: those of the largest layer, which is gathered whole where processes share the network.
    first: the lines whose highest is the peak, beside the networks,
    gradients as they come; later: the same of a part that finds the gradients of earlier ones, which are left out.
    """

    operations: tuple[Operation, ...]
    trained: int
    cast: int = 0
    widest: int = 0
    first: tuple[Line, ...]
    later: tuple[Line, ...]

    def working(self, rows: int, kept: bool = False, precision: Precision = "float32") -> int:
        """Bytes at the worst moment of the passes on `rows` samples: activations and gradients.

        kept: whether gradients are there before, of an earlier part or as the buckets in which processes average them.
        """
        lines = self.later if kept else self.first
        half = precision == "bfloat16"
        return FLOAT * self.trained * kept + round(max(self._bytes(line, rows, half) for line in lines))

    def _bytes(self, line: Line, rows: int, half: bool) -> float:
        """At one moment. What is fixed is gradients, for the most part; where they are there, the copies are gone."""
        fixed, each = line
        copies = HALF * FLOAT * max(0, self.cast - fixed) if half else 0.0
        return FLOAT * (fixed + each * rows * (MIXED if half else 1.0)) + copies

    def needs(self, rows: int, kept: bool = False, precision: Precision = "float32", shards: int = 1) -> int:
        """Bytes at the worst moment of a step, beside the networks.

        shards: processes that share weights, gradients and AdamW's moments, each holding its part. AdamW makes a number a
        parameter on a GPU while it steps, beside the gradients.
        """
        own = FLOAT * math.ceil(self.trained / shards)
        passes = self.working(rows, kept, precision)
        if shards > 1:
            passes += own - FLOAT * self.trained * kept + GATHERED * FLOAT * self.widest
        return MOMENTS * own + max(passes, 2 * own)

    def fitting(
        self, share: int, room: float, precision: Precision = "float32", processes: int = 1, shards: int = 1
    ) -> int | None:
        """The fewest parts of a process's `share` samples whose step needs no more than `room` bytes; None if none does."""

        def fits(parts: int) -> bool:
            return self.needs(math.ceil(share / parts), parts > 1 or processes > 1, precision, shards) <= room

        return next((parts for parts in range(1, share + 1) if fits(parts)), None)


def highest(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Those of the lines that are highest for some number of samples, the steepest first: the hull of all."""
    kept: list[Line] = []
    for each, fixed in sorted(((each, fixed) for fixed, each in lines), reverse=True):
        if kept and fixed <= kept[-1][0]:
            continue
        while len(kept) > 1 and _crossing(kept[-1], (fixed, each)) >= _crossing(kept[-2], kept[-1]):
            kept.pop()  # wherever it is high, one of its neighbours is higher
        kept.append((fixed, each))
    return tuple(kept)


def _crossing(steep: Line, flat: Line) -> float:
    """The number of samples from which on the steeper line is the higher one."""
    return (flat[0] - steep[0]) / (steep[1] - flat[1])
