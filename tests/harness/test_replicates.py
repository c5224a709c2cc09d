from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.store import Store
from aptp_bench.errors import ConfigError
from aptp_bench.harness import replicates, run_folder
from aptp_bench.harness.inputs import Materials
from aptp_bench.harness.run import run
from aptp_bench.harness.run_folder import RunFolder
from aptp_bench.plugins import Evidence, Measurement, Metric
from aptp_bench.records import Record, load

CPU = torch.device("cpu")


class Light(Metric):
    """Mean brightness of the images, one number an image."""

    name, unit, better, needs = "light", "", "higher", frozenset({"images"})
    calls: list[str] = []

    def __call__(self, evidence: Evidence) -> Measurement:
        self.calls.append(self.name)
        scores = evidence.images().double().mean(dim=(1, 2, 3))
        return self.measured(float(scores.mean()), n=len(scores), replicates=scores.tolist())


def measured(**found: list[float] | None) -> dict[str, Measurement]:
    return {
        name: Measurement(
            value=float(np.mean(each or 1.0)),
            unit="",
            better="lower",
            n=len(each or [0]),
            replicates=each and tuple(each),
        )
        for name, each in found.items()
    }


@pytest.fixture
def made(tiny_run: Any, register: Any, tmp_path: Path) -> tuple[Record, Path]:
    register("metrics", "light", Light)
    Light.calls.clear()
    recipe = tiny_run("dense", "metrics=[macs,light]")
    for _ in range(2):  # the second reads what the first left
        record = run(recipe, Materials.of(recipe, CPU), Store(tmp_path / "runs", SilentProgress()))
    return record, run_folder.place(record, tmp_path / "runs")


def test_what_is_packed_is_read_again_and_what_has_none_is_not_named(tmp_path: Path) -> None:
    results = measured(fid=[1.5, -2.0, 0.25], latency=None, clip_score=[80.1, 90.0])
    content, facts = replicates.packed(results)
    assert facts is not None and sorted(facts.metrics) == ["clip_score", "fid"]
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    found = replicates.read(path, facts, results)
    assert found is not None and found["fid"].tolist() == [1.5, -2.0, 0.25]
    assert found["clip_score"] == pytest.approx([80.1, 90.0], rel=1e-6)
    assert replicates.packed(measured(latency=None)) == (b"", None)


@pytest.mark.parametrize("harm", [lambda c: c[:-1], lambda c: c[:-1] + b"\1", lambda c: b"", lambda c: None])
def test_a_file_that_is_not_the_one_a_record_names_is_none(tmp_path: Path, harm: Any) -> None:
    results = measured(fid=[1.0, 2.0])
    content, facts = replicates.packed(results)
    if (harmed := harm(content)) is not None:
        (tmp_path / "a").write_bytes(harmed)
    assert replicates.read(tmp_path / "a", facts, results) is None


def test_replicates_are_of_the_value_beside_them(tmp_path: Path) -> None:
    results = measured(fid=[1.0, 2.0], clip_score=[80.0, 90.0])
    content, facts = replicates.packed(results)
    (tmp_path / "a").write_bytes(content)
    edited = {**results, "fid": results["fid"].model_copy(update={"value": 1.6})}
    found = replicates.read(tmp_path / "a", facts, edited)
    assert found is not None and found.keys() == {"clip_score"}


def test_a_run_keeps_them_beside_its_record_and_submits_them(made: tuple[Record, Path], tmp_path: Path) -> None:
    record, folder = made
    assert Light.calls == ["light"]  # measured once, read twice
    assert record.replicates is not None and record.replicates.metrics == ["light"]
    own = replicates.read(folder / run_folder.REPLICATES, record.replicates, record.results)
    assert own is not None and len(own["light"]) == 6
    assert np.mean(own["light"]) == pytest.approx(record.results["light"].value, rel=1e-6)
    assert '"replicates": [' not in (folder / run_folder.FILE).read_text(encoding="utf-8")
    path = run_folder.publish(RunFolder.load(folder), tmp_path / "results")
    assert load(path) == record == RunFolder.load(folder).record
    every = replicates.of_all({path: record})
    assert every[record.replicates.sha256]["light"].tolist() == own["light"].tolist()
    replicates.path_of(path).unlink()
    assert replicates.of_all({path: record}) == {}


def test_a_run_that_lost_them_is_not_submitted(made: tuple[Record, Path], tmp_path: Path) -> None:
    (made[1] / run_folder.REPLICATES).unlink()
    with pytest.raises(ConfigError, match="is gone; run again"):
        run_folder.publish(RunFolder.load(made[1]), tmp_path / "results")
    assert not (tmp_path / "results").exists()
