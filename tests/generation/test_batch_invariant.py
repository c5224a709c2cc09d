from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from aptp_bench.generation.batch_invariant import RowByRow


def test_a_row_is_the_same_alone_and_in_any_batch() -> None:
    x = torch.randn(7, 1, 304, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(128, 304, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with RowByRow():
        alone = torch.cat([F.linear(x[i : i + 1], weight) for i in range(7)])
        assert torch.equal(F.linear(x, weight), alone)
        assert torch.equal(torch.cat([F.linear(x[:3], weight), F.linear(x[3:], weight)]), alone)
    assert torch.allclose(F.linear(x, weight), alone, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 6), (5, 3, 6), (1, 6), (0, 6)])
def test_it_computes_linear_layers(shape: tuple[int, ...]) -> None:
    layer, x = torch.nn.Linear(6, 4), torch.randn(shape)
    with RowByRow():
        found = layer(x)
    assert found.shape == (*shape[:-1], 4) and torch.allclose(found, layer(x), atol=1e-6)


def test_only_linear_layers_are_split_and_only_inside() -> None:
    seen: list[int] = []
    layer = torch.nn.Linear(2, 2)

    class Spy(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func in (F.linear, F.silu):
                seen.append(len(args[0]))
            return func(*args, **(kwargs or {}))

    with Spy():
        with RowByRow():
            F.silu(layer(torch.ones(3, 2)))
        layer(torch.ones(3, 2))
    assert seen == [1, 1, 1, 3, 3]
