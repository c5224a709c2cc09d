"""The suite command on a tiny model: the whole way, past a failure, and on after a kill."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from aptp_bench.methods.dense import Dense
from aptp_bench.methods.random import Random
from aptp_bench.models.mixture import Mixture
from aptp_bench.plugins import Job, Method
from aptp_bench.records import Record

Call = Callable[..., Any]  # (code, stdout)
SMALL = ["sizes.train=12", "sizes.val=4", "sizes.partiprompts=0", "resolution.train=8", "resolution.measure=8"]
SMALL += ["sampling.steps=1", "sampling.batch=4", "metrics=[macs,parameters]", "finetune.steps=1", "finetune.batch=4"]


class Broken(Method):
    """A stranger's method with a bug."""

    name = "broken"

    def prune(self, job: Job) -> Mixture:
        raise RuntimeError("shapes differ")


@pytest.fixture
def suite(tmp_path: Path, tiny_model: str, register: Any) -> str:
    register("methods", "broken", Broken)
    rows: list[dict[str, Any]] = [
        {"label": "whole", "method": "dense"},
        {"label": "bug", "method": "broken"},
        {"label": "refused", "method": "dense", "budget": 0.5},
        {"label": "lots", "method": "random", "budget": 0.7},
    ]
    document = {"title": "A small table", "dataset": "coco", "scale": "smoke", "rows": rows}
    document["settings"] = [f"model={tiny_model}", *SMALL]
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(document))
    return "suite.yaml"


def test_it_goes_on_past_failures_names_them_at_the_end_and_shows_the_rest(
    call: Call, suite: str, tmp_path: Path
) -> None:
    code, out = call("suite", suite, "--results-dir", "results")
    assert code == 2
    first, *_, last = call.err.strip().splitlines()
    assert first == "1 of 4: whole, seed 0" and "failed: refused, seed 0: dense removes nothing" in call.err
    assert last.startswith("error: 2 of 4 runs failed: ") and "bug, seed 0: RuntimeError: shapes differ" in last
    assert "refused, seed 0: dense removes nothing" in last
    (log,) = (tmp_path / "runs").glob("*.log")  # a bug leaves its traceback
    assert f"(traceback: {log.relative_to(tmp_path)})" in last and "in prune" in log.read_text()
    assert "A small table" in out and "whole" in out and "lots" in out and "bug" not in out
    assert "numbers mean little" in out
    records = [Record.model_validate_json(p.read_text()) for p in sorted((tmp_path / "results/records").iterdir())]
    assert [record.what.method for record in records] == ["dense", "random"]
    assert records[1].macs["exact"].ratio == pytest.approx(0.7, abs=0.005)


def test_a_second_call_reads_what_is_done_and_a_killed_one_goes_on(
    call: Call, suite: str, tmp_path: Path, monkeypatch: Any
) -> None:
    def killed(self: Dense, job: Job) -> Mixture:
        raise KeyboardInterrupt

    done = {"rows": ["lots", "whole"]}
    only = [word for label in done["rows"] for word in ("--only", label)]
    with monkeypatch.context() as patch:
        patch.setattr(Random, "prune", killed)
        assert call("suite", suite, *only)[0] == 130
    assert len(list((tmp_path / "runs").glob("*/run.json"))) == 1  # the dense row was done before the kill
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("manifest.json")}
    assert stamps
    code, out = call("suite", suite, *only, "--json")
    assert code == 0 and set(json.loads(out)["records"]) == {"whole", "lots"}
    assert stamps == {p: p.stat().st_mtime_ns for p in stamps}


def test_a_row_is_the_run_of_its_command(call: Call, suite: str, tmp_path: Path) -> None:
    call("suite", suite, "--only", "lots", "--results-dir", "results")
    (path,) = (tmp_path / "results/records").iterdir()
    before = Record.model_validate_json(path.read_text())
    code, out = call("suite", suite, "--dry-run", "--json")
    command = next(row["command"] for row in json.loads(out)["runs"] if row["label"] == "lots")
    assert code == 0 and command == before.how.command
    path.unlink()
    assert call(*shlex.split(command)[1:], "--no-reference", "--results-dir", "results")[0] == 0
    assert list((tmp_path / "results/records").iterdir()) == [path]
    assert Record.model_validate_json(path.read_text()).model_dump(exclude={"how"}) == before.model_dump(
        exclude={"how"}
    )


def test_a_dry_run_writes_nothing(call: Call, suite: str, tmp_path: Path) -> None:
    code, out = call("suite", suite, "--dry-run")
    assert code == 0 and "lots, seed 0: aptp-bench run --method random" in out
    assert [p.name for p in tmp_path.iterdir()] == ["suite.yaml"]


def test_an_unknown_row_is_refused(call: Call, suite: str) -> None:
    code, _ = call("suite", suite, "--only", "all")
    assert code == 2 and call.err.strip() == (
        "error: the suite has no row 'all' that can be run; use --only with one of: whole, bug, refused, lots"
    )


def test_a_table_is_planned_at_the_scale_that_is_asked_for_and_names_what_it_leaves_out(call: Call) -> None:
    code, out = call("suite", "aptp_7", "--scale", "paper", "--dry-run", "--json")
    plan = json.loads(out)
    assert code == 0 and [run["label"] for run in plan["runs"]] == ["SD (dense)", "APTP-Base"]
    assert all("--scale paper --model sd21" in run["command"] for run in plan["runs"])
    assert "RAPHAEL" in plan["left_out"]
    code, out = call("suite", "aptp_7", "--dry-run")
    assert "APTP-Base, seed 0: aptp-bench run --method aptp --dataset coco --scale mini" in out
    assert "left out: RAPHAEL: another system" in out
