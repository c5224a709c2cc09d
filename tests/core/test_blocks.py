from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from aptp_bench.core.blocks import Features, Reading, read_blocks, uncached, write_blocks
from aptp_bench.core.distributed import ALONE, Ranks
from aptp_bench.core.progress import SilentProgress
from aptp_bench.errors import CheckpointError, MetricError

BLOCKS = 7
EXPECTED = [float(i // 2) for i in range(2 * BLOCKS)]


class Work:
    """Seven blocks of two rows, read once for their numbers and for the negatives of these; killed at, or broken from, a block."""

    def __init__(self, killed: int = BLOCKS, broken: int = BLOCKS) -> None:
        self.killed, self.broken = killed, broken
        self.seen: list[int] = []

    @property
    def reading(self) -> Reading:
        return Reading(BLOCKS, self.read, [self.numbers, self.negatives])

    def read(self, numbers: Sequence[int]) -> Iterator[int]:
        for i in numbers:
            if i == self.killed:
                raise KeyboardInterrupt
            self.seen.append(i)
            yield i

    def numbers(self, i: int) -> Features:
        return {"pool": torch.full((2, 3), float(i)), "logits": torch.full((2, 1), -float(i))}

    def negatives(self, i: int) -> Features:
        if i >= self.broken:
            raise MetricError("no negatives from here on")
        return {"pool": torch.full((2, 3), -float(i))}

    def write(self, folder: Path, ranks: Ranks = ALONE) -> dict[int, object]:
        folders = {i: folder / str(i) for i in range(2)}
        for each in folders.values():
            each.mkdir(exist_ok=True)
        return dict(write_blocks(folders, self.reading, ranks, SilentProgress(), "features"))


def column(folder: Path, name: str = "pool") -> list[float]:
    return read_blocks(folder, BLOCKS)[name][:, 0].tolist()


def test_one_pass_leaves_all_that_is_computed_of_it_in_order(tmp_path: Path) -> None:
    work = Work()
    assert work.write(tmp_path) == {} and work.seen == list(range(BLOCKS))
    assert column(tmp_path / "0") == EXPECTED and column(tmp_path / "0", "logits") == [-x for x in EXPECTED]
    assert column(tmp_path / "1") == [-x for x in EXPECTED]


def test_killed_work_goes_on_from_the_blocks_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        Work(killed=3).write(tmp_path)
    with pytest.raises(CheckpointError, match="run again"):
        column(tmp_path / "0")
    rest = Work()
    rest.write(tmp_path)
    assert rest.seen == [3, 4, 5, 6]
    assert column(tmp_path / "0") == EXPECTED


def test_processes_share_the_blocks_whatever_their_number_was_before(tmp_path: Path) -> None:
    shares = [Work() for _ in range(3)]
    shares[0].write(tmp_path, Ranks(0, 2))  # one of two, before a kill
    for rank in range(3):
        shares[rank].write(tmp_path, Ranks(rank, 3))
    assert sorted(i for work in shares for i in work.seen) == list(range(BLOCKS))
    assert column(tmp_path / "0") == EXPECTED


def test_what_fails_leaves_the_others_whole(tmp_path: Path) -> None:
    failed = Work(broken=2).write(tmp_path)
    assert list(failed) == [1] and isinstance(failed[1], MetricError)
    assert column(tmp_path / "0") == EXPECTED
    kept, lost = uncached([("a", {}), ("b", {})], Work(broken=2).reading)
    assert isinstance(lost, MetricError)
    assert not isinstance(kept, MetricError) and kept["pool"][:, 0].tolist() == EXPECTED
