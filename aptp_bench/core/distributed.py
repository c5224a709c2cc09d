"""The processes that share a run: one on a laptop, several under `accelerate launch`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from aptp_bench import errors

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

    def gathered(self, said: T) -> list[T]:
        """What each process says, in their order; all have come here then."""
        if self.size == 1:
            return [said]
        from accelerate.utils import gather_object

        found: list[T] = gather_object([said])
        return found

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block after which each waits for all. A failure of one is raised on each, or the others would go on alone."""
        failure = None
        try:
            yield
        except Exception as err:
            failure = err
        self._agree(failure)

    def _agree(self, failure: Exception | None) -> None:
        """Return when every process has come here. Where one brought a failure, each raises: its own, or the first's."""
        said = self.gathered(failure and (type(failure).__name__, str(failure)))
        failure = failure or next((_raised(*each) for each in said if each), None)
        if failure is not None:
            raise failure


ALONE = Ranks()


def leave() -> None:
    """End the group of processes, as one does that has done its work: threads that it left behind may abort at exit.

    Not for one that failed: it would wait for the others, who wait for it.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        import torch.distributed

        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def left_alone() -> str | None:
    """What to say where `accelerate launch` was asked for several processes and started one, as it does on CPUs."""
    asked = "ACCELERATE_USE_CPU" in os.environ and "MASTER_ADDR" in os.environ  # where several are to meet
    if not asked or "WORLD_SIZE" in os.environ:
        return None
    return "accelerate launch started one process; for several: torchrun --nproc_per_node 2 -m aptp_bench …"


def _raised(kind: str, message: str) -> Exception:
    """What another process raised: an error of ours as it was, so that here it is handled as there."""
    if hasattr(errors, kind):
        return getattr(errors, kind)(message)
    return RuntimeError(f"another process failed ({kind}: {message})")
