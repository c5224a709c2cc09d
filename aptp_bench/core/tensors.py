"""Named tensors in a folder, as safetensors; those of long work part by part, each kept as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from aptp_bench.core.distributed import Ranks
from aptp_bench.core.files import write_whole
from aptp_bench.core.progress import Progress
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


def joined(parts: Iterable[Tensors]) -> Tensors:
    """Parts of equal names, row after row: [n, …] and [m, …] -> [n + m, …]. One alone is as it is, of any shape."""
    found = list(parts)
    if len(found) == 1:
        return found[0]
    return {key: torch.cat([part[key] for part in found]) for key in found[0]}


def write_parts(
    folder: Path, parts: Sequence[Callable[[], Tensors]], ranks: Ranks, progress: Progress, label: str
) -> None:
    """Compute this process's share of the parts, a file each; those that are there are left as they are."""
    mine = ranks.share([(folder / _numbered(i), part) for i, part in enumerate(parts)])
    todo = [each for each in mine if not each[0].is_file()]
    done = [each for each in mine if each[0].is_file()]
    for file, part in progress.track([*done, *todo], label, done=len(done)):
        write_tensors(folder, part(), file.name)


def read_parts(folder: Path, count: int) -> Tensors:
    """What `write_parts` of all processes left, joined. Raises CheckpointError."""
    return joined(read_tensors(folder, _numbered(i)) for i in range(count))


def _numbered(part: int) -> str:
    return f"part-{part:05d}.safetensors"
