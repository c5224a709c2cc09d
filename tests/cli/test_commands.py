from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from aptp_bench import assets, registry
from aptp_bench.backbones.inception import MiniInception
from aptp_bench.cli import app, doctor
from aptp_bench.errors import MetricError, UnknownNameError
from aptp_bench.generation.images import write_image
from aptp_bench.harness import contact_sheet
from aptp_bench.harness.run_folder import RunFolder
from aptp_bench.methods.dense import Dense
from aptp_bench.plugins import Metric
from aptp_bench.records import Record, load


@pytest.fixture
def run_words(tiny_model: str) -> list[str]:
    words = ["run", "--method", "dense", "--dataset", "coco", "--scale", "smoke", "--model", tiny_model]
    small = ["metrics=[macs,fid]", "sampling.steps=1", "sizes.val=2", "sizes.partiprompts=0", "resolution.measure=8"]
    for setting in small:
        words += ["--set", setting]
    return words


def test_run_ends_with_a_table_that_names_its_world_and_a_record(call, run_words, tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "ROOT", tmp_path / "assets")
    code, out = call(*run_words, "--weights", "random", "--results-dir", "results")
    assert code == 0
    assert "numbers mean little" in out and "random weights" in out
    for words in ("macs (G) ↓", "MACs exact / dense ↓", "MACs aptp / dense ↓", "MACs modules / dense ↓", "1.0000"):
        assert words in out
    assert "not measured: fid: the embedded model 'inception' has no weights" in out
    (path,) = tmp_path.glob("results/records/dense-coco-1exact-seed0-smoke-*.json")
    assert f"record: {path.relative_to(tmp_path)}" in out
    record = Record.model_validate_json(path.read_text())
    assert record.how.command.startswith("aptp-bench run --method dense --dataset coco --scale smoke --model tiny-sd")
    assert {p.name for p in tmp_path.iterdir()} == {"runs", "results"}


def test_a_record_belongs_to_its_run_until_it_is_submitted(call, run_words, tmp_path):
    code, out = call(*run_words)
    assert code == 0 and {p.name for p in tmp_path.iterdir()} == {"runs"}
    (line,) = (line for line in out.splitlines() if "aptp-bench submit " in line)
    words = line.partition("aptp-bench ")[2].split()
    assert call(*words)[0] == 0
    (path,) = tmp_path.glob("results/records/*.json")
    run = RunFolder.load(Path(words[-1]))
    assert load(path) == run.record and path.stem == run.folder.name
    (sheet,) = tmp_path.glob("results/samples/*.png")
    samples = (run.folder / "samples.png").read_bytes()
    assert sheet.stem == path.stem and contact_sheet.read(path, run.record.samples) == sheet.read_bytes() == samples
    assert call(*words) == (0, f"record: {path.relative_to(tmp_path)}\n")  # again, over what is there
    assert call(*words, "--results-dir", "mine")[0] == 0
    assert load(tmp_path / "mine" / "records" / path.name) == load(path)
    code, out = call(*run_words, "--dry-run", "--json")
    said = json.loads(out)
    assert said["recipe"]["sampling"]["steps"] == 1
    states = {row["stage"]: row["done"] for row in said["stages"]["dense"]}
    assert states["prune"] and states["generate"] and states["measure-macs"]


def test_what_is_no_run_is_submitted_neither_alone_nor_with_others(call, run_words, tmp_path):
    code, out = call(*run_words, "--json", "--seed", "3")
    (record,) = json.loads(out)["records"]
    assert code == 0 and Record.model_validate(record).what.seed == 3
    (run,) = (path.parent for path in tmp_path.glob("runs/*/run.json"))
    assert json.loads(out)["runs"] == [str(run.relative_to(tmp_path))]
    (tmp_path / "empty").mkdir()
    code, out = call("submit", str(run), "empty")
    assert code == 2 and "empty is no run" in call.err and not (tmp_path / "results").exists()
    (run / "samples.png").unlink()
    code, out = call("submit", str(run))
    assert code == 2 and "samples.png is gone; run again: aptp-bench run" in call.err
    assert not list(tmp_path.glob("results/*/*.json"))


def test_a_dry_run_shows_recipe_and_stages_and_writes_nothing(call, run_words, tmp_path):
    code, out = call(*run_words, "--dry-run")
    assert code == 0 and "scheduler: pndm" in out and "generate" in out and "to do" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("group", ["methods", "metrics", "datasets", "models", "backbones"])
def test_listings_name_every_plugin_its_package_and_what_it_is(call, group):
    code, out = call(group, "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0 and rows.keys() == registry.plugins(group).keys()
    assert all(row["package"] == "aptp-bench" and row["summary"] for row in rows.values())
    code, out = call(group)
    assert code == 0 and all(name in out for name in rows)


def test_a_strangers_plugin_that_cannot_run_is_listed_with_the_reason(call, register):
    why = classmethod(lambda cls: "needs a licence; ask for one")
    lacking = type("Lacking", (Dense,), {"name": "lacking", "unavailable": why})
    register("methods", "lacking", lacking)
    _, out = call("methods", "--json")
    row = next(row for row in json.loads(out) if row["name"] == "lacking")
    assert (row["package"], row["unavailable"]) == ("stranger", "needs a licence; ask for one")
    assert "lacking cannot run here: needs a licence; ask for one" in call("methods")[1]


def test_a_methods_options_have_defaults_and_help(call):
    code, out = call("methods", "aptp", "--json")
    (row,) = json.loads(out)
    options = {option["name"]: option for option in row["options"]}
    assert code == 0 and options["experts"]["default"] == 8
    assert all(option["help"] for option in options.values())
    assert "--set name=value" in call("methods", "aptp")[1]
    assert "no options" in call("methods", "dense")[1]


def test_evaluate_measures_a_folder(call, tmp_path, monkeypatch):
    MiniInception({"subject": 5}, width=16).save(tmp_path / "assets" / "inception")
    monkeypatch.setattr(assets, "ROOT", tmp_path / "assets")
    noise = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for i, image in enumerate(noise):
        write_image(tmp_path / "images", i, image)
    (tmp_path / "captions.txt").write_text("a\nb\nc\nd\n")
    words = ["evaluate", "images", "--captions", "captions.txt"]
    reals = [*words, "--reals", "images", "--metrics", "fid, inception_score"]
    code, out = call(*reals, "--json")
    said = json.loads(out)
    assert code == 0 and said["world"] == "mini" and set(said["results"]) == {"fid", "inception_score"}
    assert said["results"]["fid"]["n"] == 4
    _, out = call(*reals)
    assert "fid ↓" in out and "not comparable with papers" in out
    code, out = call(*words, "--dataset", "coco", "--metrics", "fid", "--json")
    assert code == 0 and json.loads(out)["results"]["fid"]["value"] > 0


def test_a_metric_that_was_asked_for_and_fails_late_ends_evaluate_with_two(call, tmp_path, register):
    """What was measured is shown all the same."""

    class Late(Metric):
        name, unit, better, needs = "late", "", "lower", frozenset({"images"})

        def __call__(self, evidence):
            raise MetricError("too few of them; give more")

    register("metrics", "late", Late)
    for number in range(3):
        write_image(tmp_path / "images", number, torch.full((32, 32, 3), 40 * number, dtype=torch.uint8))
    (tmp_path / "captions.txt").write_text("a\nb\nc\n")
    words = ["evaluate", "images", "--captions", "captions.txt", "--json", "--metrics"]
    code, said = call(*words, "late,clip_score")
    assert code == 2 and "late: too few of them; give more" in call.err
    assert json.loads(said)["results"].keys() == {"clip_score"}
    assert call(*words, "clip_score")[0] == 0


def test_the_doctor_says_what_is_missing_and_how_to_mend_it(call, tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "ROOT", tmp_path)
    code, out = call("doctor", "--json")
    said = json.loads(out)
    checks = {check["what"]: check for check in said["checks"]}
    assert code == 1 and not said["ready"]
    assert checks["python"]["ok"] and checks["torch"]["ok"] and checks["method dense"]["ok"]
    for what in ("model mini-sd", "backbone mini-inception", "backbone mini-clip"):
        assert not checks[what]["ok"] and checks[what]["needed"] and "mini_world" in checks[what]["fix"]
    assert not checks["model sd21"]["needed"]
    assert "mini_world" in call("doctor")[1]


def test_the_doctor_is_content_where_nothing_needed_is_missing(call, monkeypatch):
    fine = [doctor.Check("python", True, "3.12"), doctor.Check("model big", False, "no", needed=False, fix="get it")]
    monkeypatch.setattr(doctor, "machine", lambda: iter(fine))
    monkeypatch.setattr(doctor, "plugins", lambda: iter(()))
    code, out = call("doctor")
    assert code == 0 and "model big: no" in out and "get it" in out


def test_hints_name_commands_that_there_are() -> None:
    import typer

    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    root = Path(__file__).parents[2]
    files = [path for folder in ("aptp_bench", "methods", "metrics") for path in (root / folder).rglob("*.py")]
    named = {name for path in files for name in re.findall(r"aptp-bench ([a-z]+)", path.read_text(encoding="utf-8"))}
    for group in registry.GROUPS:
        with pytest.raises(UnknownNameError) as caught:
            registry.get(group, "no such name")
        named |= set(re.findall(r"aptp-bench (\w+)", str(caught.value)))
    assert named - known == set() and "backbones" in named
