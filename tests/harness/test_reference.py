"""Fidelity in a run: images of the reference row are made once, whoever needs them first."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from aptp_bench.config import with_reference
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.store import Store
from aptp_bench.generation.images import read_image
from aptp_bench.harness.inputs import Materials
from aptp_bench.harness.run import plan, run, run_each
from aptp_bench.harness.run_folder import RunFolder, place
from aptp_bench.metrics.fidelity import CEILING
from aptp_bench.plugins import Job, Method
from aptp_bench.records import Record

CPU = torch.device("cpu")
FIDELITY = ("metrics=[macs,ssim,psnr]", "resolution.measure=12")


class Same(Method):
    """The network as it is, under another name."""

    name, tunes, uses_data = "same", False, False
    router: Any

    def prune(self, job: Job) -> Any:
        from aptp_bench.models.mixture import Mixture

        return Mixture.of_one(job.teacher.unet)


@pytest.fixture
def same(register: Any) -> str:
    register("methods", "same", Same)
    return "same"


def carried_out(recipe: Any, store: Store) -> Record:
    return run(recipe, Materials.of(recipe, CPU), store)


def folders(store: Store) -> list[str]:
    return sorted(
        p.name.rpartition("-")[0] for p in store.root.iterdir() if p.is_dir() and p.name.startswith("generate")
    )


def test_a_network_that_is_the_reference_makes_its_images(tiny_run, same, store):
    record = carried_out(tiny_run(same, *FIDELITY), store)
    assert record.results["ssim"].value == pytest.approx(1.0)
    assert record.results["psnr"].value == pytest.approx(CEILING)
    assert {found.detail["against"] for name, found in record.results.items() if name != "macs"} == {"dense"}
    assert record.results["ssim"].n == 6


def test_the_reference_itself_is_compared_with_its_images_from_other_noise(tiny_run, store):
    record = carried_out(tiny_run("dense", *FIDELITY), store)
    found = record.results["ssim"]
    assert found.value < 0.999 and "other noise" in found.detail["against"]
    made = RunFolder.load(place(record, store.root))
    own, other = (made.stages[name] / "images" / "000000.png" for name in ("generate", "reference"))
    assert not torch.equal(read_image(own), read_image(other))


def test_images_of_the_reference_are_made_once_whichever_run_comes_first(tiny_run, same, store, tmp_path):
    alone = carried_out(tiny_run(same, *FIDELITY), store)
    assert folders(store) == ["generate"] * 2 + ["generate-prompts"]
    dense = carried_out(tiny_run("dense", *FIDELITY), store)
    assert (
        folders(store) == ["generate"] * 2 + ["generate-prompts"] * 2
    )  # and its own from other noise, a stage called so
    at = [RunFolder.load(place(record, store.root)).stages for record in (alone, dense)]
    assert at[0]["reference"] == at[1]["generate"]
    beside = Store(tmp_path / "beside", SilentProgress())
    both = run_each(with_reference(tiny_run(same, *FIDELITY)), beside, CPU)
    assert [each.results for each in both] == [dense.results, alone.results]


def test_a_plan_names_the_stage_and_knows_when_it_is_done(tiny_run, same, store):
    recipe = tiny_run(same, *FIDELITY)
    materials, dry = Materials.of(recipe, CPU), Store(store.root, SilentProgress(), dry=True)
    before = {stage.name: stage.done for stage in plan(recipe, materials, dry)}
    assert before["reference"] is False and not store.root.exists()
    run(recipe, materials, store)
    assert all(stage.done for stage in plan(recipe, materials, dry))


def test_without_a_metric_that_needs_it_none_is_made(tiny_run, same, store):
    record = carried_out(tiny_run(same), store)
    assert "reference" not in record.how.seconds and folders(store) == ["generate", "generate-prompts"]


def test_a_recipe_without_a_reference_leaves_fidelity_out_with_the_reason(tiny_run, same, store):
    record = carried_out(tiny_run(same, *FIDELITY, "reference=null"), store)
    assert set(record.results) == {"macs"} and set(record.skipped) == {"ssim", "psnr"}
    assert "reference" in record.skipped["ssim"]


def test_a_killed_run_goes_on_within_the_references_images(tiny_run, same, store, killed):
    recipe = tiny_run(same, *FIDELITY, "sampling.batch=1")
    done = 6 + 3 + 2  # its own images and prompts, and two of the reference's
    with pytest.raises(KeyboardInterrupt):
        carried_out(recipe, Store(store.root, killed(done)))
    (partial,) = store.root.glob("generate-*.partial")
    assert len(list((partial / "images").glob("*.png"))) == 2
    assert carried_out(recipe, store).results["ssim"].value == pytest.approx(1.0)
