"""At which precision networks compute: a choice that decides numbers, so that settings name it and records keep it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from aptp_bench.core.settings import Precision


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Inside, layers compute in bfloat16 if that is the precision. Else nothing: the meta device knows no autocast."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


@contextmanager
def products(precision: Precision) -> Iterator[None]:
    """Inside, float32 products of matrices run in TF32 on a GPU if that is the precision, forward and backward."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = before or precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
