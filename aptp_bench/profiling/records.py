"""What a profile leaves behind: one JSON document a network on a device, closed schema, never mixed with quality."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import FiniteFloat, PositiveInt

from aptp_bench.core.documents import Frozen
from aptp_bench.profiling.setups import Setup
from aptp_bench.records import Provenance, read, write

Interval = tuple[FiniteFloat, FiniteFloat]
FOLDER = "speed"


class Spread(Frozen):
    """A median of n runs in seconds, a 95 % bootstrap interval of it, and the quartiles of the runs."""

    median_s: FiniteFloat
    interval_s: Interval
    q25_s: FiniteFloat
    q75_s: FiniteFloat
    n: PositiveInt


class Ratio(Frozen):
    """Pruned over dense, measured in the same session, with a 95 % bootstrap interval."""

    value: FiniteFloat
    interval: Interval


class Timing(Frozen):
    """One way of running. The image is that of one prompt: seconds of a batch, divided by it. predicted: a roofline bound."""

    setup: Setup
    call: Spread
    call_ratio: Ratio
    dense_call_s: FiniteFloat
    predicted_call_s: FiniteFloat | None
    image: Spread | None = None
    image_ratio: Ratio | None = None
    dense_image_s: FiniteFloat | None = None
    predicted_image_s: FiniteFloat | None = None
    unet_calls: int | None = None
    peak_bytes: int | None = None  # the busiest expert's, weights included, by the GPU's allocator
    dense_peak_bytes: int | None = None
    host_call_s: FiniteFloat | None = None  # until a call returns, on a GPU; near `call`, the GPU waits for the host
    first_call_s: FiniteFloat  # of all experts; compiling is part of it
    attention: list[str]
    conditions: dict[str, Any]


class Network(Frozen):
    """One U-Net on paper. histogram: widths by the largest power of two that divides them, all and those pruning changed.

    macs: of a call, the mean over those that a sampler would make for an image; macs_by_kind: of a call of the whole.
    """

    share: FiniteFloat  # of the prompts
    macs: dict[str, int | None]
    macs_by_kind: dict[str, int]
    parameters: int
    weights_bytes: dict[str, int]
    activation_bytes: dict[str, int]  # most alive at once in a call on one sample
    histogram: dict[str, int]
    changed_histogram: dict[str, int]


class Predicted(Frozen):
    """A roofline bound on one device: seconds of a guided call of one image, and of the whole image; dense beside it."""

    device: str
    source: str
    dtype: str
    call_s: FiniteFloat
    image_s: FiniteFloat
    dense_call_s: FiniteFloat
    dense_image_s: FiniteFloat
    memory_bound: FiniteFloat  # share of the call's time that waits for memory


class SpeedRecord(Frozen):
    """What one method's network costs. `geometry` says how its widths came about; weights do not matter to speed."""

    schema_version: Literal[1] = 1
    label: str
    model: str
    world: Literal["mini", "paper"]
    resolution: int
    latent: int
    tokens: int
    method: str
    method_config: dict[str, Any]
    budget: dict[str, Any] | None
    geometry: str
    architecture: str | None = None  # digest of the networks; None in records from before it was taken
    remark: str = ""
    dense: Network
    experts: list[Network]
    macs_ratio: dict[str, FiniteFloat | None]
    predicted: list[Predicted]
    timings: list[Timing]
    published: dict[str, Any] | None = None  # what a paper prints for such a network, on its device
    how: Provenance

    @property
    def name(self) -> str:
        """label-model-resolution-device, fit for a file's name."""
        return name(self.label, self.model, self.resolution, self.how.device)


def name(label: str, model: str, resolution: int, device: str) -> str:
    """label-model-resolution-device, fit for a file's name. resolution: in pixels; device: its product name."""
    return "-".join(slug(word) for word in (label, model, f"{resolution}px", device))


def slug(words: str) -> str:
    """Words as a part of a file's name."""
    return re.sub(r"[^a-z0-9.]+", "_", words.lower()).strip("_")


def save(record: SpeedRecord, results: Path) -> Path:
    """Write the record to `results`/speed, whole or not at all; where it lies."""
    return write(record, results / FOLDER / f"{record.name}.json")


def load(path: Path) -> SpeedRecord:
    """Read a record. Raises ConfigError if it is not JSON or not of this schema."""
    return read(path, SpeedRecord, "speed record", "measure")
