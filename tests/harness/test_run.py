from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from aptp_bench.config import with_reference
from aptp_bench.core.progress import PlainProgress, SilentProgress
from aptp_bench.core.store import Store
from aptp_bench.errors import PruningError, TrainingError, WeightsError
from aptp_bench.harness.inputs import Materials
from aptp_bench.harness.run import plan, run, run_each
from aptp_bench.harness.run_folder import shed_untuned
from aptp_bench.models.call_plan import CallPlan
from aptp_bench.models.mixture import Mixture
from aptp_bench.plugins import Job, Method
from aptp_bench.pruning.gates import GateSpace
from aptp_bench.pruning.surgery import cut
from aptp_bench.training import fit

CPU = torch.device("cpu")


class Halves(Method):
    """Two experts: one without half of its heads and groups, one whole."""

    name = "halves"
    router: Any
    calls: list[str] = []

    def prune(self, job: Job) -> Mixture:
        self.calls.append("prune")
        assert len(job.train) == 12 and job.workdir.is_dir()
        (job.workdir / "log.json").write_text("{}")
        space = GateSpace.of(job.teacher.unet)
        keep = torch.ones(space.size, dtype=torch.bool)
        for width in space.widths:
            keep[width.start + width.size // 2 : width.start + width.size] = False
        return Mixture([cut(job.teacher.unet, space, keep), job.teacher.unet], self.router())


@pytest.fixture
def halves(register: Any, router_by: Any) -> type[Halves]:
    Halves.router = router_by(lambda prompt: len(prompt) % 2)
    register("methods", "halves", Halves)
    register("routers", Halves.router.name, Halves.router)
    Halves.calls.clear()
    return Halves


def outcome(record: Any) -> dict[str, Any]:
    return record.model_dump(exclude={"how"})


def test_a_strangers_method_goes_through_all_stages(tiny_run, halves, store):
    reference, record = run_each(with_reference(tiny_run("halves")), store, CPU)
    assert (reference.what.method, record.what.method) == ("dense", "halves")
    assert reference.macs["exact"].ratio == 1.0 and 0 < record.macs["exact"].ratio < 1
    assert sum(e.train_prompts for e in record.experts) == 12 and sum(e.eval_prompts for e in record.experts) == 6
    assert record.experts[0].parameters < record.experts[1].parameters == reference.parameters.dense
    assert record.results["macs"].value * 1e9 == pytest.approx(record.macs["exact"].pruned)
    untuned = {"prune", "generate", "generate-prompts", "measure-macs", "measure-parameters"}
    assert set(reference.how.seconds) == untuned and set(record.how.seconds) == {"pairs", "finetune", *untuned}
    assert {"model", "train", "val", "prompts"} <= record.how.digests.keys()
    logs = list(store.root.glob("prune-*/work/log.json"))
    assert len(logs) == 1


def test_a_record_has_the_date_of_its_last_stage(tiny_run, halves, store):
    """Not of the day on which it is written once more; stages of earlier releases have none."""
    (_, first) = run_each(with_reference(tiny_run("halves")), store, CPU)
    assert datetime.date.fromisoformat(first.how.date) <= datetime.datetime.now(datetime.timezone.utc).date()
    manifests = sorted(store.root.glob("*/manifest.json"))
    for stamps in ({"prune": "2019-12-31", "finetune": "2020-01-02"}, {}):
        for path in manifests:
            facts = json.loads(path.read_text())
            facts.pop("date", None)
            name = path.parent.name.partition("-")[0]
            path.write_text(json.dumps({**facts, **({"date": stamps[name]} if name in stamps else {})}))
        (_, again) = run_each(with_reference(tiny_run("halves")), Store(store.root, SilentProgress()), CPU)
        assert again.how.date == max(stamps.values(), default="")


def test_a_second_run_reads_everything_and_gives_the_same_record(tiny_run, halves, store):
    first = run_each(with_reference(tiny_run("halves")), store, CPU)
    stamps = {
        path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path.is_file() and ".locks" not in path.parts
    }
    second = run_each(with_reference(tiny_run("halves")), Store(store.root, SilentProgress()), CPU)
    assert [outcome(r) for r in first] == [outcome(r) for r in second]
    assert [r.how.seconds for r in first] == [r.how.seconds for r in second]
    assert halves.calls == ["prune"]
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}


def test_a_batch_without_a_sample_for_each_process_is_refused_before_any_work(tiny_run, halves, store, monkeypatch):
    monkeypatch.setattr(fit.Ranks, "here", lambda: fit.Ranks(0, 3))
    for method, *settings in (("halves", "finetune.batch=2"), ("aptp", "batch=2", "experts=2")):
        with pytest.raises(TrainingError, match="too small for 3 processes"):
            run_each([tiny_run(method, *settings)], store, CPU)
    assert not halves.calls and not store.root.exists()


def test_runs_share_the_stages_they_have_in_common(tiny_run, halves, store):
    materials = Materials.of(tiny_run("halves"), CPU)
    unimportant = ("finetune.checkpoint_every=1", "sampling.batch=2")
    for settings in ((), ("finetune.lr=3e-3",), ("sampling.guidance=1.7",), unimportant):
        run(tiny_run("halves", *settings), materials, store)
    folders = sorted(p.name.rpartition("-")[0] for p in store.root.iterdir() if p.name != ".locks")
    assert folders.count("pairs") == folders.count("prune") == 1
    assert folders.count("finetune") == 2  # another learning rate; checkpoints and batches change no number
    assert folders.count("generate") == 3  # and another guidance


def test_a_plan_knows_what_is_done(tiny_run, halves, store):
    recipe, materials = tiny_run("halves"), Materials.of(tiny_run("halves"), CPU)
    dry = Store(store.root, SilentProgress(), dry=True)
    assert not any(stage.done for stage in plan(recipe, materials, dry))
    assert not store.root.exists()
    run(recipe, materials, store)
    assert all(stage.done for stage in plan(recipe, materials, dry))
    names = [stage.name for stage in plan(recipe, materials, dry)]
    assert names[:5] == ["pairs", "prune", "finetune", "generate", "generate-prompts"]
    other = {stage.name: stage.done for stage in plan(tiny_run("halves", "seed=1"), materials, dry)}
    assert other["pairs"] and not other["prune"] and not other["generate"]


def test_a_missed_budget_is_said(tiny_run, halves, store, capsys):
    recipe = tiny_run("halves", "budget.ratio=0.1")
    run(recipe, Materials.of(recipe, CPU), Store(store.root, PlainProgress()))
    assert "the budget is missed by +" in capsys.readouterr().err


class Planner(Method):
    """Half of the calls."""

    name = "planner"
    tunes, uses_data, uses_sampling = False, False, True
    seen: list[int] = []

    def prune(self, job: Job) -> Mixture:
        self.seen.append(job.sampling.steps)
        asked = job.sampling.steps + 1
        return Mixture.of_one(job.teacher.unet, plan=CallPlan(of=asked, made=asked // 2, full=asked // 2))


def test_a_plan_of_calls_is_recorded_and_depends_on_the_sampler(tiny_run, register, store):
    register("methods", "planner", Planner)
    Planner.seen.clear()
    recipes = [
        tiny_run("planner", f"sampling.steps={steps}", *more)
        for steps, *more in ((7,), (7, "sampling.guidance=3"), (9,))
    ]
    found = [run(recipe, Materials.of(recipe, CPU), store) for recipe in recipes]
    assert [record.calls for record in found] == [{"dense": n, "made": n // 2, "full": n // 2} for n in (8, 8, 10)]
    assert {record.macs[name].ratio for record in found for name in record.macs} == {0.5}
    assert found[0].parameters.per_image == found[0].parameters.dense
    assert Planner.seen == [7, 9]  # guidance changes no plan


def test_the_sampler_changes_no_other_methods_mixture(tiny_run, halves, store):
    for steps in (2, 3):
        recipe = tiny_run("halves", f"sampling.steps={steps}")
        record = run(recipe, Materials.of(recipe, CPU), store)
        assert record.calls == {"dense": steps + 1, "made": steps + 1, "full": steps + 1}
    assert halves.calls == ["prune"]


def test_a_method_that_plans_calls_must_say_so(tiny_run, register, store):
    """Else its stage would not be made again for another sampler."""
    register("methods", "planner", type("Silent", (Planner,), {"uses_sampling": False}))
    with pytest.raises(PruningError, match=r"planner plans calls .* uses_sampling = True"):
        run(tiny_run("planner", "sampling.steps=7"), Materials.of(tiny_run("planner"), CPU), store)


def test_what_a_method_lacks_is_said_before_any_work(tiny_run, halves, store, monkeypatch):
    def lacks(self: Halves, scale: str) -> None:
        raise WeightsError("no encoder; fetch it")

    monkeypatch.setattr(Halves, "check", lacks)
    with pytest.raises(WeightsError, match="no encoder"):
        run(tiny_run("halves"), Materials.of(tiny_run("halves"), CPU), store)
    assert not store.root.exists()


@pytest.mark.parametrize("method", ["aptp", "structural", "ld_pruner"])
def test_methods_that_read_text_do_so_where_it_is_not_stored(
    method: str, tiny_run: Any, store: Store, build_encoder: Any, tmp_path: Path
) -> None:
    settings = ["stride=400"] if method == "structural" else []
    if method == "aptp":
        settings = [f"encoder={build_encoder(tmp_path / 'encoder')}", "experts=2", "warmup_steps=2", "joint_steps=2"]
        settings += ["batch=6", "align_steps=2"]
    if method == "ld_pruner":
        settings = ["method_config.prompts=2", "generations=2", "method_config.steps=2"]
    stored, read = (
        run(recipe, Materials.of(recipe, CPU), store)
        for recipe in (tiny_run(method, *settings, *more) for more in ([], ["store_text=false"]))
    )
    assert len(list(store.root.glob("pairs-*"))) == 2 and read.how.seconds.keys() == stored.how.seconds.keys()
    sizes = sorted(folder.joinpath("pairs.safetensors").stat().st_size for folder in store.root.glob("pairs-*"))
    assert sizes[0] < 0.1 * sizes[1]
    assert read.macs == stored.macs
    assert "store_text" not in stored.what.model_dump() and read.what.model_dump()["store_text"] is False


def test_pruned_networks_go_when_their_fine_tuning_has_ended_and_come_back_where_they_are_needed(
    tiny_run, halves, store
):
    frugal = replace(store, keep="tuned")
    record = run(tiny_run("halves"), Materials.of(tiny_run("halves"), CPU), frugal)
    (pruned,) = store.root.glob("prune-*")
    (store.root / "finetune-other.partial").mkdir()
    with FileLock(store.root / ".locks" / "finetune-other.lock"):  # held by another command
        shed_untuned([record], frugal)
        assert len(list(pruned.rglob("*.safetensors"))) == 2
    (store.root / "finetune-other.partial").rmdir()
    shed_untuned([record], frugal)
    (tuned,) = store.root.glob("finetune-*")
    assert not list(pruned.rglob("*.safetensors")) and len(list(tuned.rglob("*.safetensors"))) == 2
    again = run(tiny_run("halves"), Materials.of(tiny_run("halves"), CPU), replace(frugal, fresh=set()))
    assert outcome(again) == outcome(record) and halves.calls == ["prune"]
    longer = tiny_run("halves", "finetune.steps=3")
    other = run(longer, Materials.of(longer, CPU), replace(store, fresh=set()))
    assert halves.calls == ["prune"] * 2 and other.macs == record.macs
    assert len(list(store.root.glob("finetune-*"))) == 2 and len(list(pruned.rglob("*.safetensors"))) == 2


def test_every_step_of_every_expert_is_reported(tiny_run, halves, store):
    seen: list[str] = []

    class Followed(SilentProgress):
        def report(self, label: str, row: Any) -> None:
            seen.append(f"{label} {row['step']}")

    run(tiny_run("halves"), Materials.of(tiny_run("halves"), CPU), replace(store, progress=Followed()))
    assert seen == ["fine-tune expert 1 0", "fine-tune expert 2 0"]  # two steps, shared
