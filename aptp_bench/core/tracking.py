"""What trainings report, shown as they go by a tracker of accelerate's: TensorBoard, or trackio."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aptp_bench.core.progress import Progress
from aptp_bench.errors import ConfigError

PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX"), "trackio": ("trackio",)}  # any of which serves a tracker


def check_tracker(name: str) -> None:
    """Raise ConfigError for a tracker that is not known, or whose package is not installed."""
    if name not in PACKAGES:
        raise ConfigError(f"--track takes {' or '.join(PACKAGES)}; got '{name}'")
    if not any(find_spec(package) for package in PACKAGES[name]):
        raise ConfigError(f"--track {name} needs a package that is not installed: pip install {name}")


@contextmanager
def tracked(progress: Progress, tracker: str | None, run: str, folder: Path) -> Iterator[Progress]:
    """Progress that hands the steps of trainings to `tracker` too, under the name of a run; None: progress as it is.

    folder: where TensorBoard's files go; trackio keeps its own.
    """
    if tracker is None:
        yield progress
        return
    from accelerate import Accelerator

    accelerator = Accelerator(log_with=tracker, project_dir=str(folder))
    accelerator.init_trackers(run)
    try:
        yield Tracked(progress, accelerator)
    finally:
        accelerator.end_training()


class Tracked:
    """Progress, and an accelerator whose trackers get every step: NAME OF THE TRAINING/NAME OF THE NUMBER, at that step."""

    def __init__(self, progress: Progress, accelerator: Any) -> None:
        self.progress, self.accelerator = progress, accelerator

    def report(self, label: str, row: Mapping[str, Any]) -> None:
        """Numbers as they are, lists number by number."""
        self.progress.report(label, row)
        values = {f"{label}/{name}": value for name, value in _numbers(row) if name != "step"}
        self.accelerator.log(values, step=row["step"])

    def track(self, items: Sequence[Any], label: str, done: int = 0) -> Iterable[Any]:
        """As progress does."""
        return self.progress.track(items, label, done)

    def say(self, line: str) -> None:
        """As progress does."""
        self.progress.say(line)

    def plan(self, stages: Mapping[str, float]) -> None:
        """As progress does."""
        self.progress.plan(stages)

    def stage(self, name: str) -> AbstractContextManager[None]:
        """As progress does."""
        return self.progress.stage(name)


def _numbers(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in row.items():
        if isinstance(value, (list, tuple)):
            yield from ((f"{name}/{i}", each) for i, each in enumerate(value))
        else:
            yield name, value
