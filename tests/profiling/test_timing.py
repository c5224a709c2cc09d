from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from aptp_bench.profiling.timing import alternately, conditions, placed, resampled_medians, seconds, summary

CPU = torch.device("cpu")


def test_seconds_are_wall_time() -> None:
    assert seconds(lambda: time.sleep(0.02), CPU) >= 0.02


def test_calls_alternate_after_an_untimed_warm_up() -> None:
    order: list[str] = []
    times = alternately({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, CPU, warmup=1, repeats=3)
    assert order == ["a", "b"] * 4
    assert {name: len(found) for name, found in times.items()} == {"a": 3, "b": 3}


def test_the_summary_is_the_median_and_the_quartiles() -> None:
    assert summary(torch.tensor([5.0, 1.0, 2.0, 3.0, 4.0], dtype=torch.float64)) == {
        "median_s": 3.0,
        "q25_s": 2.0,
        "q75_s": 4.0,
        "n": 5,
    }


def test_resampled_medians_begin_with_the_median_and_stay_in_range() -> None:
    times = torch.tensor([1.0, 2.0, 9.0], dtype=torch.float64)
    medians = resampled_medians(times, 100, torch.Generator().manual_seed(0))
    assert medians[0] == 2
    assert set(medians.tolist()) <= {1.0, 2.0, 9.0}
    assert len(set(medians.tolist())) > 1


def test_a_module_in_place_is_itself_and_another_type_is_a_copy() -> None:
    module = nn.Linear(2, 2).eval()
    assert placed(module, CPU, torch.float32) is module
    half = placed(module, CPU, torch.float16)
    assert half.weight.dtype == torch.float16
    assert module.weight.dtype == torch.float32
    assert not placed(module.train(), CPU, torch.float32).training
    assert module.training


def test_conditions_name_device_type_threads_and_versions() -> None:
    found = conditions(CPU, torch.float16)
    assert found["dtype"] == "float16"
    assert found["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()
    assert found["device"]
    assert found["cuda"] is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_seconds_on_a_gpu_wait_for_the_work() -> None:
    x = torch.randn(4096, 4096, device="cuda")

    def work() -> None:
        for _ in range(20):
            x @ x

    seconds(work, torch.device("cuda"))
    assert seconds(work, torch.device("cuda")) > 1e-3
