from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from aptp_bench.core.distributed import ALONE, Ranks
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.tensors import read_parts, write_parts
from aptp_bench.errors import CheckpointError


class Work:
    """Seven parts of two rows, counted; the fourth is interrupted if that is asked for."""

    def __init__(self, killed: bool = False) -> None:
        self.killed, self.made = killed, []
        self.parts = [partial(self.part, i) for i in range(7)]

    def part(self, i: int) -> dict[str, torch.Tensor]:
        if self.killed and i == 3:
            raise KeyboardInterrupt
        self.made.append(i)
        return {"pool": torch.full((2, 3), float(i)), "logits": torch.full((2, 1), -float(i))}

    def write(self, folder: Path, ranks: Ranks = ALONE) -> None:
        write_parts(folder, self.parts, ranks, SilentProgress(), "features")


def test_parts_are_joined_in_order(tmp_path: Path) -> None:
    work = Work()
    work.write(tmp_path)
    found = read_parts(tmp_path, 7)
    assert found["pool"].shape == (14, 3) and found["logits"].shape == (14, 1)
    assert found["pool"][:, 0].tolist() == [float(i // 2) for i in range(14)]


def test_killed_work_goes_on_from_the_parts_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        Work(killed=True).write(tmp_path)
    with pytest.raises(CheckpointError, match="run again"):
        read_parts(tmp_path, 7)
    rest = Work()
    rest.write(tmp_path)
    assert rest.made == [3, 4, 5, 6]
    assert read_parts(tmp_path, 7)["pool"][:, 0].tolist() == [float(i // 2) for i in range(14)]


def test_processes_share_the_parts_whatever_their_number_was_before(tmp_path: Path) -> None:
    shares = [Work() for _ in range(3)]
    shares[0].write(tmp_path, Ranks(0, 2))  # one of two, before a kill
    for rank in range(3):
        shares[rank].write(tmp_path, Ranks(rank, 3))
    assert sorted(i for work in shares for i in work.made) == list(range(7))
    assert read_parts(tmp_path, 7)["logits"][:, 0].tolist() == [-float(i // 2) for i in range(14)]
