from __future__ import annotations

import pytest

from aptp_bench.errors import ConfigError
from aptp_bench.profiling import devices
from aptp_bench.profiling.devices import known, matching, named, processor


def test_every_device_has_figures_for_every_type_and_a_source() -> None:
    table = known()
    assert {"A100", "H100", "H200", "RTX 3090"} <= table.keys()
    for device in table.values():
        assert device.convolution.keys() == device.product.keys() == {"float32", "float16", "bfloat16"}
        assert len(device.source) > 20
        assert device.product["float32"] <= device.convolution["float32"] <= device.convolution["float16"]


@pytest.mark.parametrize(
    ("product", "title"),
    [
        ("NVIDIA H200", "NVIDIA H200 SXM 141 GB"),
        ("NVIDIA A100-SXM4-80GB", "NVIDIA A100 SXM 80 GB"),
        ("NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 3090 24 GB"),
    ],
)
def test_a_gpu_is_found_by_its_product_name(product: str, title: str) -> None:
    assert matching(product).title == title


@pytest.mark.parametrize(
    ("product", "gib"), [("NVIDIA A100-SXM4-40GB", 40), ("NVIDIA A100-SXM4-80GB", 80), ("NVIDIA H100 PCIe", 80)]
)
def test_a_product_name_says_its_memory(product: str, gib: float) -> None:
    device = matching(product)
    assert device is not None and device.memory_gib == gib and f"{gib} GB" in device.title


def test_a_device_that_nobody_wrote_down_is_none_and_asked_for_is_an_error() -> None:
    assert matching("NVIDIA B300") is None and matching("NVIDIA RTX A1000") is None
    with pytest.raises(ConfigError, match=r"no facts are known of a device 'a10'; did you mean 'A100'\?"):
        named("a10")
    with pytest.raises(ConfigError, match="known: here, A100"):
        named("abacus")


def test_this_machine_is_measured_once(monkeypatch) -> None:
    processor.cache_clear()
    monkeypatch.setattr(devices, "_NUMBERS", 1 << 22)
    monkeypatch.setattr(devices, "_SIZE", 256)
    here = named("here")
    assert here.bandwidth > 0.1
    assert all(value > 1e-4 for value in here.product.values())
    assert here.convolution == here.product
    assert "measured" in here.source
    assert processor() is here
    processor.cache_clear()
