"""A loop of steps on a machine: in how many parts, how long, how much memory, and what would make it fit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from aptp_bench.core.costs import StepCost
from aptp_bench.core.settings import Parts, Precision
from aptp_bench.planning.machine import Machine


@dataclass(frozen=True)
class Load:
    """What a stage takes. bound_s: seconds at best; memory: bytes of a process; disk: bytes in folders of a kind.

    None: not estimated. fix: what would make it fit the device, empty where it does.
    """

    bound_s: float | None = None
    memory: int | None = None
    disk: int = 0
    kind: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Loop:
    """steps of `rows` samples a process, in parts. held: bytes of networks beside; options: the settings' common prefix.

    sparing: counts the same step with gradient checkpointing, None where it is on or nothing is learnt. own: bytes of the
    network that is trained, 0 where processes cannot share it; shard: whether they do. split: instead of `accumulate` the
    setting that says how many samples are handled together, and what it amounts to now.
    """

    machine: Machine
    cost: StepCost
    rows: int
    steps: float
    held: int
    accumulate: Parts = 1
    precision: Precision = "float32"
    options: str = ""
    sparing: Callable[[], StepCost] | None = None
    own: int = 0
    shard: bool = False
    split: tuple[str, int] | None = None

    @cached_property
    def parts(self) -> int:
        """Those that are asked for; of "auto" the fewest that fit, or one a sample."""
        if self.accumulate != "auto":
            return min(self.accumulate, self.rows)
        return 1 if self.machine.room is None else self._fitting(self.cost, self.precision, self._shards) or self.rows

    @property
    def at_once(self) -> int:
        """Samples of a part."""
        return math.ceil(self.rows / self.parts)

    @property
    def memory(self) -> int:
        """Bytes of a process at the worst moment."""
        kept = self.parts > 1 or self.machine.processes > 1
        return self._beside(self._shards) + self.cost.needs(self.at_once, kept, self.precision, self._shards)

    def bound_s(self, cost: StepCost) -> float:
        """Seconds at best of all steps, where a sample costs this."""
        return self.steps * self.parts * self.machine.bound(cost, self.at_once, self.precision)

    @property
    def fix(self) -> str:
        """What would make it fit, the cheapest first; empty where it fits or where memory is not known."""
        if self.machine.room is None or self.memory <= self.machine.room:
            return ""
        parts = self._fitting(self.cost, self.precision, self._shards)
        if parts and self.split is not None:
            name, now = self.split
            return f"--set {self.options}{name}={max(1, now * self.parts // parts)} would fit"
        if parts:
            return f"--set {self.options}accumulate={parts} would fit, or accumulate=auto"
        if self.precision != "bfloat16" and self._fitting(self.cost, "bfloat16", self._shards):
            return f"--set {self.options}precision=bfloat16 --set {self.options}accumulate=auto would fit, and changes numbers"
        sparing = self.cost if self.sparing is None else self.sparing()
        if self._fitting(sparing, self.precision, self._shards):
            return f"--set {self.options}gradient_checkpointing=true --set {self.options}accumulate=auto would fit"
        if self.own and self._fitting(sparing, self.precision, self.machine.processes):
            spared = "" if self.sparing is None else f"--set {self.options}gradient_checkpointing=true "
            return f"--set {self.options}shard=true {spared}--set {self.options}accumulate=auto would fit"
        return "nothing here makes it fit: take a device with more memory"

    @property
    def _shards(self) -> int:
        return self.machine.processes if self.shard else 1

    def _beside(self, shards: int) -> int:
        """Bytes of the networks, of which the trained one is shared by so many."""
        return self.held + math.ceil(self.own / shards)

    def _fitting(self, cost: StepCost, precision: Precision, shards: int) -> int | None:
        room = (self.machine.room or 0.0) - self._beside(shards)
        return cost.fitting(self.rows, room, precision, self.machine.processes, shards)


def narrowed(cost: StepCost, parameters: float, macs: float) -> StepCost:
    """A step on a network that keeps these shares, where `cost` is of the dense one: its memory, not its operations.

    Gradients and moments shrink as the parameters do. A quarter of the activations stays: what goes from block to block,
    and the teacher's; the rest shrinks as the MACs do.
    """
    lines = {
        name: tuple(
            (round(fixed * parameters), round(each * (1 + 3 * macs) / 4)) for fixed, each in getattr(cost, name)
        )
        for name in ("first", "later")
    }
    numbers = {name: round(getattr(cost, name) * parameters) for name in ("trained", "cast", "widest")}
    return cost.model_copy(update={**lines, **numbers})


def batched(machine: Machine, each: int, batch: int, held: int, option: str) -> Load:
    """The memory of a stage that takes so many bytes for each of the `batch` samples that it handles at once."""
    room = None if machine.room is None else machine.room - held
    fix = ""
    if room is not None and each * batch > room:
        most = max(0, math.floor(room / each))
        fix = (
            f"--set {option}={most} would fit" if most else "nothing here makes it fit: take a device with more memory"
        )
    return Load(memory=held + each * batch, fix=fix)


def activations(cost: StepCost, precision: Precision = "float32") -> int:
    """Bytes of one sample of a pass without gradients."""
    return cost.working(1, precision=precision)
