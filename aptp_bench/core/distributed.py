"""The processes that share a run: one on a laptop, several under `accelerate launch`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

from aptp_bench import errors

T = TypeVar("T")
Told = tuple[str, str, tuple[Any, ...]]  # a failure's type and message; errno, words and file of an OSError
PATIENCE = timedelta(days=7)  # the first process measures alone for hours; where one dies, the launcher ends the others
GRACE = timedelta(
    seconds=60
)  # that a process which failed gives the others to come to the end of what they do together
HEARD = "heard"  # of a failure that another process tells the user


class Parted(BaseException):
    """A process failed, as its cause says, where the others do not come: in the middle of a step that they share, say.

    They wait for it until it ends, and then the launcher ends them: `except Exception` must not hold it up. Without a
    cause: another process has ended, and this one must.
    """


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
        _meeting()  # made while all are here: later some may have failed, and others wait for them
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
        """What each process says, in their order; all have come here then. Raises Parted where one has ended."""
        if self.size == 1:
            return [said]
        import torch.distributed

        found: list[Any] = [None] * self.size
        try:
            torch.distributed.all_gather_object(found, said, _meeting())
        except RuntimeError:
            raise Parted from None
        return found

    def come(self, within: timedelta | None = None) -> bool:
        """Whether every process comes here in that time; None: wait for them. Raises Parted where one has ended."""
        if self.size == 1:
            return True
        import torch.distributed

        try:
            all_here, end = torch.distributed.barrier(_meeting(), async_op=True), time.monotonic()
            while within is not None and not all_here.is_completed():
                if time.monotonic() > end + within.total_seconds():
                    return False
                time.sleep(0.05)
            all_here.wait()
        except RuntimeError:  # whatever failed here failed for that
            raise Parted from None
        return True

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block after which each waits for all. A failure of one is raised on each, or the others would go on alone.

        Raises Parted where this one failed and the others have not come within GRACE.
        """
        failure = None
        try:
            yield
        except Exception as err:
            failure = err
        self._agree(failure)

    def _agree(self, failure: Exception | None) -> None:
        """Return when every process has come here. Where one brought a failure, each raises: its own, or the first's."""
        if not self.come(GRACE if failure else None):
            raise Parted from failure
        own = None if failure is None else _told(failure)
        said = None if own is None else (self.rank, own, hasattr(failure, HEARD))
        known = [each for each in self.gathered(said) if each is not None]
        if not known:
            return
        speaker, told, _ = min(known, key=lambda each: (each[2], each[0]))  # the first that nobody speaks for
        failure = failure or _raised(*told)
        if self.rank != speaker and own in (None, told):
            setattr(failure, HEARD, True)
        raise failure


@cache
def _meeting() -> Any:
    """A group of all processes for what they tell each other: whatever a step of the others waits for is no part of it."""
    import torch.distributed

    return torch.distributed.new_group(backend="gloo", timeout=PATIENCE)


ALONE = Ranks()


def leave() -> None:
    """End the group of processes, as one does that has done its work: threads that it left behind may abort at exit.

    Not for one that failed: it would wait for the others, who wait for it.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        import torch.distributed

        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def check_batch(batch: int) -> None:
    """Raise TrainingError where a batch has no sample for some process: before hours of work, not after them."""
    size = Ranks.here().size
    if batch < size:
        why = f"a batch of {batch} is too small for {size} processes"
        raise errors.TrainingError(f"{why}; start as many as it has samples, or set a larger batch")


def left_alone() -> str | None:
    """What to say where `accelerate launch` was asked for several processes and started one, as it does on CPUs."""
    asked = "ACCELERATE_USE_CPU" in os.environ and "MASTER_ADDR" in os.environ  # where several are to meet
    if not asked or "WORLD_SIZE" in os.environ:
        return None
    return "accelerate launch started one process; for several: torchrun --nproc_per_node 2 -m aptp_bench …"


def _told(failure: Exception) -> Told:
    given = (failure.errno, failure.strerror, failure.filename) if isinstance(failure, OSError) else ()
    return type(failure).__name__, str(failure), given


def _raised(kind: str, message: str, given: tuple[Any, ...]) -> Exception:
    """What another process raised: an error of ours or of the system as it was, so that here it is handled as there."""
    if hasattr(errors, kind):
        return getattr(errors, kind)(message)
    return OSError(*given) if given else RuntimeError(f"another process failed ({kind}: {message})")
