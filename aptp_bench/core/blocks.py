"""Long work in blocks: what a block is computed from is read once for everything computed of it, and each is kept as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aptp_bench.core.distributed import Ranks
from aptp_bench.core.progress import Progress
from aptp_bench.errors import AptpBenchError

if TYPE_CHECKING:
    from torch import Tensor

Features = dict[str, "Tensor"]
Named = tuple[str, dict[str, Any]]  # what features are kept under: a name, and all that decides them, as JSON


@dataclass(frozen=True)
class Reading:
    """Several features of the same blocks of rows. What a block is computed from is read once for all of them.

    blocks: how many there are; read: yields what those of the given numbers are computed from, in that order; compute: of
    each of the features, those of a block.
    """

    blocks: int
    read: Callable[[Sequence[int]], Iterator[Any]]
    compute: Sequence[Callable[[Any], Features]]


def uncached(names: Sequence[Named], reading: Reading) -> Sequence[Features | AptpBenchError]:
    """Compute block after block and keep nothing on disk; evidence still holds in memory what it has read."""
    from aptp_bench.core.tensors import joined

    parts: list[list[Features]] = [[] for _ in names]
    failed: dict[int, AptpBenchError] = {}
    for given in reading.read(range(reading.blocks)):
        for i, compute in enumerate(reading.compute):
            try:
                parts[i] += [] if i in failed else [compute(given)]
            except AptpBenchError as err:
                failed[i] = err
    return [failed[i] if i in failed else joined(own) for i, own in enumerate(parts)]


def write_blocks(
    folders: Mapping[int, Path], reading: Reading, ranks: Ranks, progress: Progress, label: str
) -> dict[int, AptpBenchError]:
    """Compute this process's share of the blocks, a file of each in every folder; those that are there are left as they are.

    folders: by the places in `reading.compute` that are wanted. Returns why some have no more: one's failure stops no other.
    """
    from aptp_bench.core.tensors import write_tensors

    mine = ranks.share(range(reading.blocks))
    todo = {block: [i for i in folders if not (folders[i] / _numbered(block)).is_file()] for block in mine}
    done = [block for block in mine if not todo[block]]
    left = [block for block in mine if todo[block]]
    failed: dict[int, AptpBenchError] = {}
    given = reading.read(left)
    for block in progress.track([*done, *left], label, done=len(done)):
        x = next(given)
        for i in todo[block]:
            try:
                if i not in failed:
                    write_tensors(folders[i], reading.compute[i](x), _numbered(block))
            except AptpBenchError as err:
                failed[i] = err
    return failed


def read_blocks(folder: Path, count: int) -> Features:
    """What `write_blocks` of all processes left, joined. Raises CheckpointError."""
    from aptp_bench.core.tensors import joined, read_tensors

    return joined(read_tensors(folder, _numbered(i)) for i in range(count))


def _numbered(part: int) -> str:
    return f"part-{part:05d}.safetensors"
