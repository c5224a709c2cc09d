"""Progress on stderr: bars with time spent and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from aptp_bench.core.overall import Overall, clock
from aptp_bench.core.texts import visible


class Progress(Protocol):
    """Reports how far long work is. `track` yields the items and draws a bar with the time left."""

    def track(self, items: Sequence[Any], label: str, done: int = 0) -> Iterable[Any]:
        """Iterate over items[done:], showing `done` as finished already."""
        ...

    def say(self, line: str) -> None:
        """One line above the bars."""
        ...

    def report(self, label: str, row: Mapping[str, Any]) -> None:
        """What a step of a training says of itself: its number ("step"), losses and the like."""
        ...

    def plan(self, stages: Mapping[str, float]) -> None:
        """The stages to come, with how long each usually takes compared with the others; none: all is over."""
        ...

    def stage(self, name: str) -> AbstractContextManager[None]:
        """A block in which one of them is made or read."""
        ...


class SilentProgress:
    """Says nothing: for tests and for use as a library."""

    def track(self, items: Sequence[Any], label: str, done: int = 0) -> Iterable[Any]:
        """items[done:], unreported."""
        return iter(items[done:])

    def say(self, line: str) -> None:
        """Nothing."""

    def report(self, label: str, row: Mapping[str, Any]) -> None:
        """Nothing."""

    def plan(self, stages: Mapping[str, float]) -> None:
        """Nothing."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()


class PlainProgress:
    """A line every half minute and one at the end of what took time: for logs and pipes."""

    every = 30.0  # seconds between two lines of one label
    brief = 1.0  # what ends sooner is not worth a line

    def __init__(self) -> None:
        self.overall = Overall({})

    def plan(self, stages: Mapping[str, float]) -> None:
        """Count the stages from here on."""
        self.overall = Overall(stages)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A line at its end says how far the run is."""
        begun = time.monotonic()
        yield
        seconds = time.monotonic() - begun
        if self.overall.end(name, seconds) and seconds >= self.brief:
            self.say(f"{name}: done in {clock(seconds)}; {self.overall.said}")

    def track(self, items: Sequence[Any], label: str, done: int = 0) -> Iterator[Any]:
        """Iterate over items[done:] and say how far it is and how long it will take."""
        total, begun = len(items), time.monotonic()
        said = begun
        for position, item in enumerate(items[done:], start=done):
            now = time.monotonic()
            if now - said >= self.every and position > done:
                left = (now - begun) / (position - done) * (total - position)
                self.say(f"{label}: {position}/{total}, {clock(left)} left")
                said = now
            yield item
        if time.monotonic() - begun >= self.brief:
            self.say(f"{label}: {total}/{total}, {clock(time.monotonic() - begun)}")

    def report(self, label: str, row: Mapping[str, Any]) -> None:
        """Nothing: logs would be full of it."""

    def say(self, line: str) -> None:
        """The line, on stderr."""
        sys.stderr.write(visible(line) + "\n")
        sys.stderr.flush()


class RichProgress:
    """Bars with elapsed time and time left; bars inside bars share one display, below the bar of the whole run."""

    def __init__(self) -> None:
        from rich import progress as bars
        from rich.console import Console

        self.bars = bars.Progress(
            bars.TextColumn("{task.description:<28}"),
            bars.BarColumn(bar_width=18),
            bars.MofNCompleteColumn(),
            bars.TimeElapsedColumn(),
            bars.TextColumn("left"),
            bars.TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self.overall = Overall({})
        self.whole: Any = None

    def plan(self, stages: Mapping[str, float]) -> None:
        """A bar of all the stages, until they are over."""
        self.overall = Overall(stages)
        if stages:
            self.whole = self.bars.add_task("the run", total=self.overall.total)
            self.bars.start()
        elif self.whole is not None:
            self.bars.stop()
            for task in self.bars.task_ids:
                self.bars.remove_task(task)
            self.whole = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Its own bars are gone at its end; a line above says how long it took."""
        begun, before = time.monotonic(), set(self.bars.task_ids)
        if self.whole is not None:
            self.bars.update(self.whole, description=name)
        yield
        if self.whole is None:
            return
        seconds = time.monotonic() - begun
        for task in set(self.bars.task_ids) - before:
            self.bars.remove_task(task)
        if self.overall.end(name, seconds):
            self.bars.update(self.whole, completed=self.overall.passed)
            if seconds >= PlainProgress.brief:
                self.say(f"{name}: done in {clock(seconds)}; {self.overall.said}")

    def track(self, items: Sequence[Any], label: str, done: int = 0) -> Iterator[Any]:
        """Iterate over items[done:] behind a bar that starts at `done`; its last state stays on the screen."""
        if done >= len(items):
            return
        task = self.bars.add_task(label, total=len(items), completed=done)
        self.bars.start()
        try:
            for item in items[done:]:
                yield item
                self.bars.advance(task)
        finally:
            self.bars.stop_task(task)
            if all(other.stop_time is not None for other in self.bars.tasks):
                self.bars.stop()
                for other in self.bars.task_ids:
                    self.bars.remove_task(other)

    def report(self, label: str, row: Mapping[str, Any]) -> None:
        """Nothing: the bars say how far it is."""

    def say(self, line: str) -> None:
        """The line above the bars, on stderr."""
        self.bars.console.print(visible(line), markup=False, highlight=False)


def reporter() -> RichProgress | PlainProgress:
    """Bars where a person watches, plain lines elsewhere."""
    return RichProgress() if sys.stderr.isatty() else PlainProgress()
