"""Time-boxed work: pieces that are each written whole, none begun that would not end in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aptp_bench.core.progress import Progress


@dataclass(frozen=True)
class Slot:
    """So many seconds from now on; None: no end."""

    seconds: float | None = None
    begun: float = field(default_factory=lambda: time.monotonic())

    @property
    def left(self) -> float:
        """Seconds left."""
        return float("inf") if self.seconds is None else self.seconds - (time.monotonic() - self.begun)


@dataclass(frozen=True)
class Piece:
    """Work that leaves its result behind whole. expected: seconds it will take, asked at its turn; 0 if not known."""

    name: str
    run: Callable[[], None]
    expected: Callable[[], float]


def work_through(pieces: Sequence[Piece], slot: Slot, progress: Progress) -> list[Piece]:
    """Run the pieces in their order, passing over those that do not fit what is left of the slot: these are returned."""
    left = []
    for place, piece in enumerate(pieces, start=1):
        seconds = piece.expected()
        if seconds > slot.left:
            left.append(piece)
            continue
        about = f", about {seconds:.0f} s" if seconds else ""
        progress.say(f"{place} of {len(pieces)}: {piece.name}{about}")
        piece.run()
    return left
