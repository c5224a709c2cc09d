"""The meta device, quicker: what an operation gives is worked out once for all calls with the same sizes.

PyTorch spells many operations out in Python there, a millisecond each; a network has a thousand calls of few kinds.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MOST = 20_000  # kinds of calls that are remembered


class Form(NamedTuple):
    """All that a strided tensor on the meta device is."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> Form:
        """Of a tensor."""
        return cls(tensor.shape, tensor.stride(), tensor.dtype)

    def made(self) -> Tensor:
        """A new tensor of this form."""
        return torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device="meta")


# a call -> whether it gives one tensor, and the forms of what it gives
_KNOWN: dict[Any, tuple[bool, tuple[Form, ...]]] = {}


class Remembered(TorchDispatchMode):
    """Operations on the meta device, each kind of call worked out once. Enter it before modes that are to see every call."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Tensors of the forms that this call gave before; what views or changes its arguments is always run."""
        kwargs = kwargs or {}
        if _aliases(func):  # it would not be remembered, and half of all calls are views
            return func(*args, **kwargs)
        key = (func, _facts(args), _facts(tuple(kwargs.items())))
        if (known := _KNOWN.get(key)) is not None:
            single, forms = known
            return forms[0].made() if single else tuple(form.made() for form in forms)
        result = func(*args, **kwargs)
        made = (result,) if isinstance(result, Tensor) else result
        if isinstance(made, tuple) and len(_KNOWN) < MOST and _new(made, tree_leaves((args, kwargs))):
            _KNOWN[key] = (made is not result, tuple(map(Form.of, made)))
        return result


def _new(made: tuple[Any, ...], given: list[Any]) -> bool:
    """Whether all are plain tensors on the meta device, none of which shares its numbers with one that was given."""
    sources = {each.untyped_storage()._cdata for each in given if isinstance(each, Tensor)}
    return all(
        isinstance(each, Tensor)
        and each.device.type == "meta"
        and each.layout == torch.strided
        and each.untyped_storage()._cdata not in sources
        for each in made
    )


@cache
def _aliases(func: Any) -> bool:
    """Whether its declaration says that it gives a view, or writes into what it is given."""
    return any(each.alias_info is not None for each in (*func._schema.arguments, *func._schema.returns))


def _facts(given: Any) -> Any:
    """What a result on the meta device depends on, to be hashed: of 1, 1.0 and True each gives another."""
    if isinstance(given, Tensor):
        return given.device.type, Form.of(given)
    if isinstance(given, list | tuple):
        return tuple(map(_facts, given))
    return type(given), given
