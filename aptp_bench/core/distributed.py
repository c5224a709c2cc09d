"""The processes that share a run: one on a laptop, several under `accelerate launch`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")
PATIENCE = timedelta(days=7)  # the first process measures alone for hours; where one dies, the launcher ends the others


@dataclass(frozen=True)
class Ranks:
    """This process's place (`rank`) among `size` processes."""

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> Ranks:
        """What `accelerate launch` or `torchrun` set up; one process without them."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return ALONE
        import torch
        from accelerate import PartialState

        # asked for here, or accelerate does not know the processes
        state = PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
        return cls(state.process_index, state.num_processes)

    @property
    def first(self) -> bool:
        """Whether this process does what only one may do: finish folders, write records."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This process's part of the items: every size-th, beginning with its own rank."""
        return items[self.rank :: self.size]

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.size > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()


ALONE = Ranks()
