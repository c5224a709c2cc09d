"""Named tensors in a folder, as safetensors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from aptp_bench.core.files import write_whole
from aptp_bench.errors import CheckpointError

FILE = "tensors.safetensors"
Tensors = dict[str, Tensor]


def write_tensors(folder: Path, tensors: Tensors, name: str = FILE) -> None:
    """Write the tensors as a file of an existing folder."""
    found = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    write_whole(folder / name, lambda path: save_file(found, path))


def read_tensors(folder: Path, name: str = FILE) -> Tensors:
    """What `write_tensors` wrote. Raises CheckpointError."""
    try:
        return load_file(folder / name)
    except (OSError, SafetensorError) as err:
        raise CheckpointError(f"{folder / name} cannot be read ({err}); delete {folder} and run again") from err


def shared(module: nn.Module) -> bool:
    """Whether each of several processes holds a part of the module's parameters."""
    return any(isinstance(p, DTensor) for p in module.parameters())


def gathered(tensor: Tensor) -> Tensor:
    """The whole tensor, on every process, where processes share it: each has to ask. Any other as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shared_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor on the device of `like`, shared among processes if that one is."""
    found = tensor.to(like)
    return distribute_tensor(found, like.device_mesh, like.placements) if isinstance(like, DTensor) else found


def joined(parts: Iterable[Tensors]) -> Tensors:
    """Parts of equal names, row after row: [n, …] and [m, …] -> [n + m, …]. One alone is as it is, of any shape."""
    found = list(parts)
    if len(found) == 1:
        return found[0]
    return {key: torch.cat([part[key] for part in found]) for key in found[0]}
