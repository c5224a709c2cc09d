"""What is remembered of the meta device is what PyTorch works out there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from aptp_bench.core import meta
from aptp_bench.core.meta import Remembered


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test begins with nothing known."""
    monkeypatch.setattr(meta, "_KNOWN", {})


def numbers(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def form(result: Any) -> Any:
    if isinstance(result, list | tuple):
        return [type(result), *map(form, result)]
    return result.shape, result.stride(), result.dtype, result.device, result.untyped_storage().nbytes()


IMAGE, WHOLE = numbers(2, 8, 5, 5), numbers(2, 8, dtype=torch.int64)
CALLS: list[Callable[[], Any]] = [
    *(lambda by=by: WHOLE * by for by in (1, 1.0, True, 2)),  # type: ignore[misc]
    *(lambda by=by: WHOLE + by for by in (True, 1.0, 1)),  # type: ignore[misc]
    lambda: IMAGE * 2,
    lambda: IMAGE.half() * IMAGE,
    lambda: IMAGE.transpose(1, 3) + 1,
    lambda: IMAGE.to(memory_format=torch.channels_last) + 1,
    lambda: F.conv2d(IMAGE, numbers(3, 8, 3, 3), stride=2),
    lambda: F.conv2d(IMAGE, numbers(3, 8, 3, 3), stride=1),
    lambda: F.group_norm(IMAGE, 4),
    lambda: torch.native_group_norm(IMAGE, None, None, 2, 8, 25, 4, 1e-5),
    lambda: F.softmax(numbers(3, 4), -1),
    lambda: F.softmax(numbers(3, 4), -1, dtype=torch.float64),
    lambda: torch.cat([IMAGE, IMAGE], 1),
    lambda: torch.cat([IMAGE, IMAGE], 0),
    lambda: IMAGE.max(1),
    lambda: IMAGE.split(3, 1),
    lambda: torch.arange(7, device="meta"),
    lambda: numbers(4, 0).sum(1),
]


def test_a_call_gives_the_same_with_and_without_and_again() -> None:
    right = [form(call()) for call in CALLS]
    for _ in range(2):
        with Remembered():
            assert [form(call()) for call in CALLS] == right


def test_gradients_have_the_forms_of_what_they_are_of() -> None:
    x, weight = numbers(2, 8, 5, 5).requires_grad_(), numbers(8).requires_grad_()
    for _ in range(2):
        with Remembered():
            given = torch.autograd.grad(F.group_norm(x, 4, weight).relu().square().mean(), (x, weight))
        assert [form(each) for each in given] == [form(x), form(weight)]


def test_views_stay_views_and_what_is_new_is_new() -> None:
    x = numbers(4, 6)
    for _ in range(2):
        with Remembered():
            seen, written, made = [x.view(24), x.t(), x[1:]], x.add_(1), [x + 1, x + 1]
        assert written is x and all(each.untyped_storage()._cdata == x.untyped_storage()._cdata for each in seen)
        assert len({each.untyped_storage()._cdata for each in (x, *made)}) == 3


def test_each_kind_of_call_is_worked_out_once() -> None:
    class Beneath(TorchDispatchMode):
        seen = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.seen += "group_norm" in func.name()
            return func(*args, **(kwargs or {}))

    with Beneath() as beneath, Remembered():
        for _ in range(3):
            F.group_norm(IMAGE, 4)
    assert beneath.seen == 1


def test_numbers_elsewhere_are_computed() -> None:
    with Remembered():
        assert [(torch.ones(2) * by).tolist() for by in (2, 2, 3)] == [[2, 2], [2, 2], [3, 3]]
    assert not meta._KNOWN
