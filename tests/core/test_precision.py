from __future__ import annotations

import pytest
import torch

from aptp_bench.core.precision import autocast, products

CPU = torch.device("cpu")


def test_tf32_is_allowed_inside_and_put_back_whatever_happens() -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    with pytest.raises(KeyError), products("tf32"):
        assert torch.backends.cuda.matmul.allow_tf32
        raise KeyError
    assert torch.backends.cuda.matmul.allow_tf32 == before


def test_bfloat16_is_what_layers_compute_in_and_nothing_else_is() -> None:
    layer, x = torch.nn.Linear(2, 2), torch.ones(1, 2)
    for precision, dtype in (("float32", torch.float32), ("tf32", torch.float32), ("bfloat16", torch.bfloat16)):
        with autocast(precision, CPU):  # type: ignore[arg-type]
            assert layer(x).dtype == dtype
