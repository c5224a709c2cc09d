"""A plan, which loads nothing, names the stages that a run comes to, and says how far it is."""

from __future__ import annotations

import pytest
import torch

from aptp_bench import config
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.store import Store
from aptp_bench.harness import plans
from aptp_bench.harness.inputs import Materials
from aptp_bench.harness.run import GENERATE, REFERENCE, run
from aptp_bench.harness.run_folder import RunFolder, place

CPU = torch.device("cpu")


@pytest.mark.parametrize("method", ["dense", "random"])
def test_a_run_comes_to_the_stages_that_are_planned(tiny_run, store, method):
    recipe = tiny_run(method, "metrics=[macs,parameters,psnr]")
    assert all(stage.state == "to do" for stage in plans.planned(recipe, store.root)) and not store.root.exists()
    record = run(recipe, Materials.of(recipe, CPU), store)
    found = plans.planned(recipe, store.root)
    made = RunFolder.load(place(record, store.root)).stages
    assert {stage.name: stage.folder for stage in found} == dict(made)
    assert all(stage.seconds is not None for stage in found)


def test_names_are_those_of_the_run():
    assert plans.GENERATED == GENERATE and plans.COMPARED == REFERENCE


def test_a_killed_run_says_what_it_began(tiny_run, store, killed):
    recipe = tiny_run("random")
    with pytest.raises(KeyboardInterrupt):
        run(recipe, Materials.of(recipe, CPU), Store(store.root, killed(0)))
    states = {stage.name: stage.state for stage in plans.planned(recipe, store.root)}
    assert states["pairs"] == "begun" and states["prune"] == states["generate"] == "to do"


def test_a_note_that_nobody_can_read_is_no_note(tiny_run, store):
    recipe = tiny_run("dense")
    plans.note(recipe, {}, store.root)
    (note,) = (store.root / plans.FOLDER).iterdir()
    note.write_text("[")
    assert {stage.state for stage in plans.planned(recipe, store.root)} == {"to do"}


def test_refreshing_makes_every_stage_of_a_run_again_and_no_other(tiny_run, store):
    asked, other = tiny_run("dense"), tiny_run("dense", seed=1)
    for recipe in (asked, other):
        run(recipe, Materials.of(recipe, CPU), store)
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("manifest.json")}
    again = run(asked, Materials.of(asked, CPU), Store(store.root, SilentProgress(), refresh=True))
    own = {stage / "manifest.json" for stage in RunFolder.load(place(again, store.root)).stages.values()}
    anew = {path for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert own <= anew and anew != before.keys()
    theirs = {stage.folder / "manifest.json" for stage in plans.planned(other, store.root)} - own
    assert theirs and not theirs & anew


def test_a_run_is_planned_without_what_it_lacks(tmp_path):
    settings = [f"encoder={tmp_path / 'nothing'}", f"dataset_config.root={tmp_path / 'nowhere'}"]
    recipe = config.recipe("aptp", "coco", "paper", {}, settings)
    assert {"pairs", "prune", "finetune", "generate"} <= {stage.name for stage in plans.planned(recipe, tmp_path)}
