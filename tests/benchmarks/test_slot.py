from __future__ import annotations

import pytest
import torch
import yaml

from aptp_bench.benchmarks.slot import speed as job
from aptp_bench.benchmarks.slot.__main__ import Name, slot
from aptp_bench.benchmarks.slot.job import Place
from aptp_bench.core.progress import SilentProgress
from aptp_bench.profiling import devices, records
from aptp_bench.profiling.bench import Bench
from aptp_bench.profiling.manifest import Manifest
from aptp_bench.profiling.profile import Profiler
from aptp_bench.profiling.speed_suite import Campaign
from aptp_bench.profiling.targets import dense

ROWS = [{"label": "dense", "method": "dense"}, {"label": "Norm 0.6", "method": "norm", "budget": 0.6}]
WAYS = [{"dtype": "float32", "batch": 1}, {"dtype": "float32", "batch": 2, "rows": ["Norm 0.6"]}]
TABLE = {
    "title": "a table",
    "model": "tiny-sd",
    "architectures": "chosen",
    "protocol": {"warmup": 0, "repeats": 2, "images": 0},
    "setups": WAYS,
    "rows": ROWS,
}


@pytest.fixture
def table(tiny_model, tiny, tmp_path, monkeypatch) -> Campaign:
    """A small table whose pruned row was chosen beforehand, in the place of the job's own."""
    (tmp_path / "table.yaml").write_text(yaml.safe_dump(TABLE), encoding="utf-8")
    subject = dense(tiny.unet, "Norm 0.6")
    Manifest.of(subject).model_copy(update={"method": "norm"}).save(tmp_path / "chosen")
    asked = Campaign.load(tmp_path / "table.yaml")
    monkeypatch.setattr(job, "TABLE", tmp_path / "table.yaml")
    monkeypatch.chdir(tmp_path)
    return asked


@pytest.fixture
def measured(monkeypatch) -> list[tuple[str, int]]:
    seen: list[tuple[str, int]] = []
    measure = Profiler.measured

    def spy(self, ready, *rest):
        seen.append((self.subject.label, ready.setup.batch))
        return measure(self, ready, *rest)

    monkeypatch.setattr(Profiler, "measured", spy)
    return seen


def test_a_job_that_was_killed_goes_on_and_ends_with_what_an_unbroken_one_has(
    table, tmp_path, measured, monkeypatch
) -> None:
    learn = Bench._learn

    def killed(self, profiler, timing):
        learn(self, profiler, timing)
        if len(measured) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Bench, "_learn", killed)
    with pytest.raises(KeyboardInterrupt):
        slot(Name.speed, device="cpu", out=tmp_path / "out")
    slot(Name.speed, device="cpu", out=tmp_path / "out")
    assert measured == [("dense", 1), ("Norm 0.6", 1), ("Norm 0.6", 1), ("Norm 0.6", 2)]
    slot(Name.speed, device="cpu", out=tmp_path / "whole")
    for path in (tmp_path / "whole" / "speed").iterdir():
        one, other = records.load(path), records.load(tmp_path / "out" / "speed" / path.name)
        assert [timing.setup for timing in one.timings] == [timing.setup for timing in other.timings]
        assert (one.architecture, one.experts) == (other.architecture, other.experts)


def test_what_does_not_fit_is_left_and_said(table, tmp_path, measured, capsys, monkeypatch) -> None:
    monkeypatch.setattr("aptp_bench.profiling.bench.MAKING", 1e6)
    slot(Name.speed, seconds=5, device="cpu", out=tmp_path / "out")
    assert measured == []
    shown = capsys.readouterr().out
    assert "left for the next slot: dense, float32, batch 1, eager; Norm 0.6, float32, batch 1, eager" in shown


def test_a_network_that_was_exchanged_is_measured_again(table, tmp_path, measured, tiny, narrow) -> None:
    slot(Name.speed, device="cpu", out=tmp_path / "out")
    measured.clear()
    Manifest.of(dense(narrow(tiny.unet), "Norm 0.6")).save(tmp_path / "chosen")
    slot(Name.speed, device="cpu", out=tmp_path / "out")
    assert measured == [("Norm 0.6", 1), ("Norm 0.6", 2)]


@pytest.fixture
def narrow():
    from aptp_bench.pruning.gates import GateSpace
    from aptp_bench.pruning.surgery import cut

    def half(unet):
        space = GateSpace.of(unet)
        keep = torch.ones(space.size, dtype=torch.bool)
        for layer in space.widths:
            keep[layer.start + max(1, layer.size // 2) : layer.start + layer.size] = False
        return cut(unet, space, keep)

    return half


def test_the_plan_of_the_first_slot_answers_the_jobs_questions(tmp_path) -> None:
    """Five networks eager in float32 and bfloat16 at batch 1, three of them compiled, in 540 s of an H100."""
    place = Place(torch.device("cpu"), tmp_path, SilentProgress(), "", on="H100")
    total, held = 0.0, []
    for piece in job.Job(place).pieces():
        total += piece.expected()
        if total <= 540:
            held.append(piece.name)
    for way in ("bfloat16, batch 1, eager", "float32, batch 1, eager"):
        assert sum(name.endswith(f", {way}") for name in held) >= 5
    assert sum(name.endswith("bfloat16, batch 1, compiled") for name in held) >= 3
    assert devices.named("H100").source and devices.named("H200").source
