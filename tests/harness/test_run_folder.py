from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench.config import merged
from aptp_bench.core.distributed import Ranks
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.store import Store
from aptp_bench.errors import ConfigError
from aptp_bench.harness import run_folder
from aptp_bench.harness.inputs import Materials
from aptp_bench.harness.run import run
from aptp_bench.harness.run_folder import RunFolder
from aptp_bench.models.mixture import Mixture
from aptp_bench.records import Record

CPU = torch.device("cpu")


def made(recipe: Any, root: Path) -> tuple[Record, Path]:
    record = run(recipe, Materials.of(recipe, CPU), Store(root, SilentProgress()))
    return record, run_folder.place(record, root)


def test_a_run_is_named_by_one_folder_that_can_be_moved(tiny_run, tmp_path):
    recipe = tiny_run("norm", "budget.ratio=0.8")
    record, folder = made(recipe, tmp_path / "runs")
    assert folder.name.startswith("norm-coco-0.8exact-seed0-smoke")
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    found = RunFolder.load(tmp_path / "elsewhere" / folder.name)
    assert found.record == record and found.recipe == recipe
    assert found.mixture.parent.name.startswith("finetune-") and len(Mixture.load(found.mixture)) == 1
    assert len(list(found.images.glob("*.png"))) == 6
    assert {"pairs", "prune", "finetune", "generate", "measure-macs"} <= found.stages.keys()


def test_a_method_that_is_not_tuned_has_its_pruned_mixture(tiny_run, tmp_path):
    _, folder = made(tiny_run("dense"), tmp_path)
    assert RunFolder.load(folder).mixture.parent.name.startswith("prune-")


def test_a_run_that_lost_a_stage_is_refused_instead_of_showing_another(tiny_run, tmp_path):
    _, folder = made(tiny_run("norm", "budget.ratio=0.8"), tmp_path)
    document = json.loads((folder / run_folder.FILE).read_text())
    del document["stages"]["finetune"]
    (folder / run_folder.FILE).write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="has lost the stage finetune"):
        RunFolder.load(folder)


def test_the_same_run_again_leaves_the_file_as_it_is(tiny_run, tmp_path):
    _, folder = made(tiny_run("dense"), tmp_path)
    stamp = (folder / run_folder.FILE).stat().st_mtime_ns
    made(tiny_run("dense"), tmp_path)
    assert (folder / run_folder.FILE).stat().st_mtime_ns == stamp
    assert sorted(path.name for path in folder.iterdir()) == sorted([run_folder.FILE, run_folder.SAMPLES])


def test_only_the_first_process_writes(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(Ranks, "wait", lambda self: None)
    monkeypatch.setattr(Ranks, "come", lambda self, within=None: True)
    monkeypatch.setattr(Ranks, "gathered", lambda self, said: [said] * self.size)
    recipe = tiny_run("dense")
    made(recipe, tmp_path)
    for path in tmp_path.glob(f"*/{run_folder.FILE}"):
        path.unlink()
    run(recipe, Materials.of(recipe, CPU), Store(tmp_path, SilentProgress(), Ranks(1, 2)))
    assert list(tmp_path.glob(f"*/{run_folder.FILE}")) == []


def test_what_is_no_run_is_refused_with_the_fix(tiny_run, tmp_path):
    record, folder = made(tiny_run("dense"), tmp_path)
    with pytest.raises(ConfigError, match=f"is no run: it has no run.json.*{folder.name}"):
        RunFolder.load(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=f"such as .*{folder.name}"):
        RunFolder.load(tmp_path)
    with pytest.raises(ConfigError, match="no stage 'finetune'; it has prune"):
        RunFolder.load(folder).stage("finetune")
    shutil.rmtree(RunFolder.load(folder).mixture.parent)
    with pytest.raises(ConfigError, match=re.escape(f"is gone; run again: {record.how.command}")):
        RunFolder.load(folder).mixture  # noqa: B018


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"version": 2}, "cannot be read .*delete it and run again"),
        ({"surprise": 1}, "cannot be read"),
        ({"stages": {"prune": "../../etc"}}, "outside of"),
        ({"record": {"what": {"gone": 1}}}, r"record.what.gone: Extra inputs are not permitted"),
    ],
)
def test_other_documents_are_refused(tiny_run, tmp_path, change, line):
    _, folder = made(tiny_run("dense"), tmp_path)
    document = json.loads((folder / run_folder.FILE).read_text())
    (folder / run_folder.FILE).write_text(json.dumps(merged(document, change)))
    with pytest.raises(ConfigError, match=line) as caught:
        RunFolder.load(folder)
    assert "\n" not in str(caught.value)


def test_another_runs_stage_of_the_same_kind_is_refused(tiny_run, tmp_path):
    _, folder = made(tiny_run("norm", "budget.ratio=0.8"), tmp_path)
    whole = json.loads((folder / run_folder.FILE).read_text())
    _, dense = made(tiny_run("dense"), tmp_path)
    _, other = made(tiny_run("norm", "budget.ratio=0.9"), tmp_path)
    RunFolder.load(folder)
    for from_whom, name in ((dense, "generate"), (dense, "prune"), (other, "finetune"), (other, "prune")):
        stage = RunFolder.load(from_whom).stages[name].name
        (folder / run_folder.FILE).write_text(json.dumps(merged(whole, {"stages": {name: stage}})))
        with pytest.raises(ConfigError, match=r"has another run's .*; run again: "):
            RunFolder.load(folder)
        (folder / run_folder.FILE).write_text(json.dumps(whole))


def test_measurements_and_references_of_another_run_are_refused(tiny_run, tmp_path):
    settings = ("budget.ratio=0.8", "metrics=[macs,psnr]")
    _, folder = made(tiny_run("norm", *settings), tmp_path)
    whole = json.loads((folder / run_folder.FILE).read_text())
    _, other = made(tiny_run("norm", *settings, "seed=1"), tmp_path)
    theirs = json.loads((other / run_folder.FILE).read_text())["stages"]
    for name in ("measure-macs", "measure-psnr", "reference"):
        assert theirs[name] != whole["stages"][name]
        (folder / run_folder.FILE).write_text(json.dumps(merged(whole, {"stages": {name: theirs[name]}})))
        with pytest.raises(ConfigError, match=rf"has another run's {theirs[name]} for its stage {name}"):
            RunFolder.load(folder)
    (folder / run_folder.FILE).write_text(json.dumps(whole))
    assert RunFolder.load(folder).stages.keys() == whole["stages"].keys()


@pytest.mark.parametrize(
    ("section", "edit"),
    [
        ("method_config", {"order": 3.0}),
        ("finetune", {"lr": 0.5}),
        ("sampling", {"steps": 3}),
        ("budget", {"ratio": 0.7}),
    ],
)
def test_settings_that_no_stage_was_made_with_are_refused(tiny_run, tmp_path, section, edit):
    _, folder = made(tiny_run("norm", "budget.ratio=0.8"), tmp_path)
    whole = json.loads((folder / run_folder.FILE).read_text())
    (folder / run_folder.FILE).write_text(json.dumps(merged(whole, {"record": {"what": {section: edit}}})))
    with pytest.raises(ConfigError, match="run again: "):
        RunFolder.load(folder)


def test_a_key_that_stands_twice_is_refused(tiny_run, tmp_path):
    _, folder = made(tiny_run("dense"), tmp_path)
    text = (folder / run_folder.FILE).read_text()
    (folder / run_folder.FILE).write_text(text.replace('"world":', '"world": "smoke", "world":', 1))
    with pytest.raises(ConfigError, match="'world' stands there twice"):
        RunFolder.load(folder)


def test_a_run_whose_document_was_edited_is_refused_or_not_submitted(tiny_run, tmp_path):
    record, folder = made(tiny_run("norm", "budget.ratio=0.8"), tmp_path)
    document = json.loads((folder / run_folder.FILE).read_text())
    run_folder.publish(RunFolder.load(folder), tmp_path / "results")
    metric = next(iter(record.results))
    value = record.results[metric].model_dump() | {"value": 0.125}
    for change, line in (
        ({"stages": {"finetune": document["stages"]["prune"]}}, "has prune-.* for its stage finetune"),
        ({"record": {"experts": [*document["record"]["experts"] * 2]}}, "has not the 2 experts"),
        ({"record": {"world": "paper"}}, "world is paper and what.scale smoke"),
        ({"record": {"results": {metric: value}}}, f"says {metric} 0.125, measured was"),
        ({"record": {"samples": document["record"]["samples"] | {"sha256": "0" * 64}}}, "not the file of its record"),
    ):
        (folder / run_folder.FILE).write_text(json.dumps(merged(document, change)))
        with pytest.raises(ConfigError, match=line):
            run_folder.publish(RunFolder.load(folder), tmp_path / "results")
