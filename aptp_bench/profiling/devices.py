"""What devices can do at best: a table of facts with their sources, and this machine's processor, measured."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import yaml
from pydantic import PositiveFloat, TypeAdapter

from aptp_bench.core.documents import Frozen, meant
from aptp_bench.errors import ConfigError
from aptp_bench.profiling.setups import Dtype

if TYPE_CHECKING:
    import torch

    from aptp_bench.profiling.timing import Call

TERA, GIGA = 1e12, 1e9
HERE = "here"
_SIZE = 2048  # of the square matrices that measure this machine
_NUMBERS = 1 << 26  # of the vector that measures its memory: more than any cache holds
_TRIES = 3


class Device(Frozen):
    """Peaks of a device: 10^12 operations a second by type, 10^9 bytes a second, and where the figures are from."""

    title: str
    convolution: dict[Dtype, PositiveFloat]
    product: dict[Dtype, PositiveFloat]
    bandwidth: PositiveFloat
    memory_gib: PositiveFloat | None = None
    source: str


def known() -> dict[str, Device]:
    """The table of facts, by short name."""
    text = files("aptp_bench.profiling").joinpath("devices.yaml").read_text(encoding="utf-8")
    return TypeAdapter(dict[str, Device]).validate_python(yaml.safe_load(text))


def named(name: str) -> Device:
    """A device of the table, or "here": this machine's processor. Raises ConfigError with the nearest name."""
    table = known()
    if name == HERE:
        return processor()
    if name not in table:
        hint = meant(name, [HERE, *table])
        raise ConfigError(f"no facts are known of a device '{name}'; {hint} (add one in profiling/devices.yaml)")
    return table[name]


def matching(product_name: str) -> Device | None:
    """The device of the table that a GPU's product name, such as "NVIDIA H200", speaks of; None if there is none.

    Where the name says a size, as in "NVIDIA A100-SXM4-40GB", that is its memory. An A1000 is no A100.
    """
    table = known()
    found = next(
        (name for name in table if re.search(rf"\b{re.escape(name)}(?!\d)", product_name, re.IGNORECASE)), None
    )
    if found is None:
        return None
    size = re.search(r"(?<!\d)(\d+) ?Gi?B\b", product_name, re.IGNORECASE)
    device = table[found]
    if size is None or float(size[1]) in (0, device.memory_gib):
        return device
    title = re.sub(r"\d+ GB", f"{int(size[1])} GB", device.title)
    return device.model_copy(update={"title": title, "memory_gib": float(size[1])})


@cache
def processor() -> Device:
    """This machine's processor by its best of a few matrix products and copies, on the threads that torch now uses."""
    import torch  # the table can be read without it

    from aptp_bench.core.provenance import device_name

    products = {dtype: _products(getattr(torch, dtype)) for dtype in ("float32", "bfloat16", "float16")}
    source, target = torch.ones(_NUMBERS), torch.empty(_NUMBERS)
    return Device(
        title=f"{device_name(torch.device('cpu'))}, {torch.get_num_threads()} threads",
        convolution=products,
        product=products,
        bandwidth=2 * 4 * _NUMBERS / _best(lambda: target.copy_(source)) / GIGA,  # read and written
        source=f"measured now: products of {_SIZE}² matrices, a copy of {_NUMBERS >> 20} Mi float32, best of {_TRIES}",
    )


def _products(dtype: torch.dtype) -> float:
    """10^12 operations a second of a square product."""
    import torch

    size = _SIZE if dtype == torch.float32 else _SIZE // 4  # a type without instructions of its own is slow
    square = torch.ones(size, size, dtype=dtype)
    return 2 * size**3 / _best(lambda: square @ square) / TERA


def _best(call: Call) -> float:
    import torch

    from aptp_bench.profiling.timing import alternately

    return float(alternately({"call": call}, torch.device("cpu"), 1, _TRIES)["call"].min())
