from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

import pytest
import torch
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from safetensors.torch import load_file

import aptp_bench
from aptp_bench.benchmarks.mini_world.loop import Recipe
from aptp_bench.benchmarks.slot import speed as job
from aptp_bench.benchmarks.slot import teacher, wheels
from aptp_bench.benchmarks.slot.__main__ import Name, slot
from aptp_bench.benchmarks.slot.job import Ledger, Place
from aptp_bench.core.progress import SilentProgress
from aptp_bench.profiling import devices, records
from aptp_bench.profiling.bench import Bench
from aptp_bench.profiling.manifest import Manifest
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
        if total > 540:
            break
        held.append(piece.name)
    for way in ("bfloat16, batch 1, eager", "float32, batch 1, eager"):
        assert sum(name.endswith(f", {way}") for name in held) >= 5
    assert sum(name.endswith("bfloat16, batch 1, compiled") for name in held) >= 3
    assert devices.named("H100").source and devices.named("H200").source


@pytest.fixture(scope="session")
def bare(tmp_path_factory) -> Callable[[Name], Path]:
    """bare(job) -> a folder of packages with what an image and the job's wheels hold, and nothing else."""

    def closure(names: Iterable[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = canonicalize_name(waiting.pop())
            if name not in found:
                try:
                    wanted = [Requirement(line) for line in metadata.requires(name) or []]
                except metadata.PackageNotFoundError:
                    continue  # an extra of the image that is not installed here
                found.add(name)
                waiting += [each.name for each in wanted if not each.marker or each.marker.evaluate({"extra": ""})]
        return found

    def make(name: Name) -> Path:
        site = tmp_path_factory.mktemp(name.value)
        for each in {*closure(wheels.IMAGE), *wheels.needs(name), "aptp-bench"}:
            try:
                there = metadata.distribution(each)
            except metadata.PackageNotFoundError:
                continue  # an older release of what needs it does without
            for file in there.files or []:
                top = site / file.parts[0]
                if not top.exists() and file.parts[0] != "..":
                    top.symlink_to(Path(str(there.locate_file(file.parts[0]))))
        return site

    return make


@pytest.mark.parametrize("name", list(Name))
def test_a_job_imports_no_more_than_its_wheels_bring(name, bare) -> None:
    """In a process that finds nothing else: the job's modules, its pieces, and what it reads of the package."""
    if not Path(aptp_bench.__file__).is_relative_to(Path(torch.__file__).parents[1]):
        pytest.skip("needs the installed wheel")
    program = (
        "import torch; from pathlib import Path; from importlib import import_module\n"
        "from aptp_bench.benchmarks.slot.job import Place\n"
        "from aptp_bench.core.progress import SilentProgress\n"
        f"job = import_module('aptp_bench.benchmarks.slot.{name.value}')\n"
        "place = Place(torch.device('cpu'), Path('nowhere'), SilentProgress(), '', smallest=True)\n"
        "print(len(job.Job(place).pieces()))\n"
    )
    found = {"PYTHONPATH": str(bare(name)), "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    done = subprocess.run([sys.executable, "-S", "-c", program], env=found, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, monkeypatch) -> None:
    """The teacher, all trained in one slot or in two."""
    monkeypatch.setattr(teacher, "SMALL", Recipe(steps=4, batch=4, lr=1e-3, warmup=2, save_every=2))
    places = [Place(torch.device("cpu"), tmp_path / name, SilentProgress(), "", smallest=True) for name in ("a", "b")]
    whole, broken = (teacher.Job(place) for place in places)
    for piece in whole.pieces()[:-1]:
        piece.run()
    for piece in broken.pieces()[:4]:
        piece.run()
    again = teacher.Job(places[1])
    assert [piece.expected() for piece in again.pieces()[:4]] == [0.0] * 4
    for piece in again.pieces()[:-1]:
        piece.run()
    for part in ("vae", "decoder", "unet"):
        one, other = (load_file(job.folder / part / "state.safetensors") for job in (whole, again))
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert again.ledger.of("train unet to step 4")["step"] == 4


def test_what_a_kind_of_piece_took_is_what_the_next_is_expected_to_take(tmp_path) -> None:
    def slow() -> dict:
        time.sleep(0.05)
        return {"found": 1}

    ledger = Ledger(tmp_path)
    first, second, other = (ledger.piece(f"piece {i}", kind, 99.0, slow) for i, kind in enumerate("aab"))
    assert first.expected() == 99.0
    first.run()
    assert first.expected() == 0.0 and 0.05 <= second.expected() < 99.0 and other.expected() == 99.0
    assert 0.05 <= Ledger(tmp_path).piece("piece 1", "a", 99.0, slow).expected() < 99.0  # known in the next slot too
    assert ledger.of("piece 0")["found"] == 1 and ledger.of("piece 1") is None
