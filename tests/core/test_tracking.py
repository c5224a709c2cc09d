from __future__ import annotations

from pathlib import Path

import pytest

from aptp_bench.core import tracking
from aptp_bench.core.progress import SilentProgress
from aptp_bench.errors import ConfigError


class Accelerator:
    """What is said to a tracker, kept."""

    def __init__(self) -> None:
        self.seen: list[tuple[dict[str, float], int]] = []

    def log(self, values: dict[str, float], step: int) -> None:
        self.seen.append((values, step))


def test_every_number_of_a_step_is_handed_on_under_its_training():
    accelerator = Accelerator()
    progress = tracking.Tracked(SilentProgress(), accelerator)
    progress.report("joint", {"step": 3, "loss": 0.5, "load": [0.25, 0.75]})
    assert accelerator.seen == [({"joint/loss": 0.5, "joint/load/0": 0.25, "joint/load/1": 0.75}, 3)]
    assert list(progress.track(range(3), "work", done=1)) == [1, 2]


def test_without_a_tracker_progress_is_as_it_was(tmp_path):
    progress = SilentProgress()
    with tracking.tracked(progress, None, "run", tmp_path) as found:
        assert found is progress


def test_a_tracker_that_cannot_be_had_is_refused_with_the_fix(monkeypatch):
    with pytest.raises(ConfigError, match="tensorboard or trackio"):
        tracking.check_tracker("paper")
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install trackio"):
        tracking.check_tracker("trackio")


def test_tensorboard_shows_the_losses_of_a_run(tmp_path: Path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracking.check_tracker("tensorboard")
    with tracking.tracked(SilentProgress(), "tensorboard", "norm-coco", tmp_path) as progress:
        for step in range(3):
            progress.report("fine-tune expert 1", {"step": step, "loss": 1.0 / (step + 1)})
    (folder,) = {file.parent for file in (tmp_path / "norm-coco").rglob("events*")}
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [event.value for event in events.Scalars("fine-tune expert 1/loss")] == pytest.approx([1, 1 / 2, 1 / 3])
