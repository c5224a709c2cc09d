from __future__ import annotations

import shutil

import pytest
import torch
from torch import nn

from aptp_bench.errors import ConfigError
from aptp_bench.profiling.kernels import attention_kernels
from aptp_bench.profiling.setups import Setup, clocks, parse
from aptp_bench.profiling.speed import call_inputs

CPU = torch.device("cpu")


def test_every_type_batch_and_way_is_a_setup() -> None:
    found = parse("fp32,bf16", "1,4", compiled=True, channels_last=False)
    assert [(s.dtype, s.batch, s.compiled) for s in found] == [
        (dtype, batch, way) for dtype in ("float32", "bfloat16") for batch in (1, 4) for way in (False, True)
    ]
    assert found[3].name == "float32, batch 4, compiled"
    assert Setup(channels_last=True).name == "float32, batch 1, channels last, eager"


@pytest.mark.parametrize(
    ("dtypes", "batches", "said"),
    [("fp8", "1", "unknown type 'fp8'"), ("fp32", "0", "'0' are no batch sizes"), ("fp32", "1;4", "use --batch")],
)
def test_bad_lists_are_refused(dtypes: str, batches: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(dtypes, batches, compiled=False, channels_last=False)


def test_a_network_that_fits_is_taken_as_it_is() -> None:
    net = nn.Conv2d(3, 4, 3).eval()
    assert Setup().ready(net, CPU) is net


def test_another_type_or_layout_is_a_copy() -> None:
    net = nn.Conv2d(3, 4, 3).eval()
    last = Setup(channels_last=True).ready(net, CPU)
    assert last is not net
    assert last.weight.is_contiguous(memory_format=torch.channels_last)
    assert net.weight.is_contiguous()
    half = Setup(dtype="bfloat16", channels_last=True).ready(net, CPU)
    assert half.weight.dtype == torch.bfloat16
    assert half.weight.is_contiguous(memory_format=torch.channels_last)
    assert net.weight.dtype == torch.float32


def test_channels_last_gives_the_same_output(small_sd) -> None:
    inputs = call_inputs(small_sd.unet, 8, 32, 1, CPU, torch.float32)
    with torch.no_grad():
        plain = small_sd.unet(**inputs).sample
        last = Setup(channels_last=True).ready(small_sd.unet, CPU)(**inputs).sample
    assert torch.allclose(plain, last, atol=1e-4)


@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch compiles for a processor with g++")
@pytest.mark.filterwarnings("ignore")  # of PyTorch's compiler, about itself
def test_a_compiled_network_gives_what_it_gives_eager() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.SiLU()).eval()
    compiled = Setup(compiled=True).ready(net, CPU)
    assert isinstance(compiled, torch._dynamo.OptimizedModule)
    for size in (2, 3):  # the second shape is compiled beside the first
        x = torch.randn(size, 4)
        with torch.no_grad():
            assert torch.allclose(compiled(x), net(x), atol=1e-5)


def test_only_a_network_with_attention_names_a_kernel_of_it(small_sd) -> None:
    none = attention_kernels(nn.Linear(2, 2), {"input": torch.ones(1, 2)})
    inputs = call_inputs(small_sd.unet, 8, 32, 1, CPU, torch.float32)
    assert len(none) == 1 and not set(none) & set(attention_kernels(small_sd.unet, inputs))


def test_a_processor_has_no_gpu_clocks() -> None:
    assert clocks(CPU) == {}
