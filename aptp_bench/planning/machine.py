"""What a plan is made for, and how long a counted step takes there."""

from __future__ import annotations

import math
from dataclasses import dataclass

from aptp_bench.core.costs import USED, StepCost
from aptp_bench.core.settings import Precision
from aptp_bench.errors import ConfigError
from aptp_bench.profiling import devices
from aptp_bench.profiling.devices import Device
from aptp_bench.profiling.roofline import predicted_seconds
from aptp_bench.profiling.setups import Dtype

GIB = 2**30
EFFICIENCY = 0.4
BASIS = (
    "of a roofline bound, as U-Net calls that keep the device busy reach it in results/speed: H100, float32, one image 0.43 to "
    "0.49; bfloat16, eight images 0.33 to 0.49; CPU, sixteen images 0.35 to 0.46; backward passes were not measured"
)
FLOAT32: Precision = "float32"


@dataclass(frozen=True)
class Machine:
    """Processes with a device each. efficiency: the share of a roofline bound that is reached; memory: bytes of a device."""

    device: Device
    processes: int
    efficiency: float
    memory: float | None

    @classmethod
    def of(
        cls, name: str, processes: int = 1, efficiency: float = EFFICIENCY, memory_gib: float | None = None
    ) -> Machine:
        """name: of the table of devices in any case, a suffix such as "-80gb" after it, or "here". Raises ConfigError."""
        device = devices.named(name) if name == devices.HERE else devices.matching(name) or devices.named(name)
        if processes < 1 or not 0 < efficiency <= 1:
            raise ConfigError(
                f"{processes} processes at {efficiency:g} of the bound; use 1 or more, and more than 0 to 1"
            )
        if memory_gib is not None and not 0 < memory_gib < math.inf:
            raise ConfigError(f"a device has no {memory_gib:g} GiB; use --memory with its GiB, e.g. 80")
        gib = memory_gib or device.memory_gib
        return cls(device, processes, efficiency, gib and gib * GIB)

    @property
    def room(self) -> float | None:
        """Bytes of a device that a process may fill."""
        return self.memory and USED * self.memory

    def bound(self, cost: StepCost, rows: int, precision: Precision | Dtype = FLOAT32) -> float:
        """Seconds of a step on `rows` samples, at best."""
        dtype: Dtype = "float32" if precision == "tf32" else precision
        return predicted_seconds(cost.operations, self.device, dtype, rows, tf32=precision == "tf32")

    def share(self, samples: int) -> int:
        """Of so many samples those of the process that has most."""
        return math.ceil(samples / self.processes)

    def share_of_batch(self, batch: int) -> int:
        """The same of a training's batch. Raises ConfigError where a process has none: the run would refuse it, hours later."""
        if batch < self.processes:
            why = f"a batch of {batch} is too small for {self.processes} processes"
            raise ConfigError(f"{why}; use --processes {batch} at most, or set a larger batch")
        return self.share(batch)
