"""Named tensors in a folder, as safetensors."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from aptp_bench.errors import CheckpointError

FILE = "tensors.safetensors"


def write_tensors(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Write the tensors into an existing folder."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, folder / FILE)


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """What `write_tensors` wrote. Raises CheckpointError."""
    try:
        return load_file(folder / FILE)
    except (OSError, SafetensorError) as err:
        raise CheckpointError(f"{folder / FILE} cannot be read ({err}); delete {folder} and run again") from err
