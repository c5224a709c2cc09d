from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from aptp_bench.budget import Budget
from aptp_bench.errors import CheckpointError
from aptp_bench.models.call_plan import PLAIN, CallPlan
from aptp_bench.models.mixture import ConstantRouter, Mixture
from aptp_bench.profiling.manifest import Manifest, filename
from aptp_bench.profiling.speed_suite import Campaign
from aptp_bench.profiling.targets import Subject

SHIPPED = Path(__file__).parents[2] / "benchmarks" / "speed"


def test_a_subject_comes_back_with_its_widths_and_other_weights(tmp_path, narrowed) -> None:
    experts = [narrowed(0.75), narrowed(0.5)]
    share = torch.tensor([0.25, 0.75], dtype=torch.float64)
    mixture = Mixture(experts, ConstantRouter(), "a remark")
    whole = Subject("Some 0.5", mixture, share, "by hand", "norm", {"align": 8}, Budget.of(0.5))
    path = Manifest.of(whole).save(tmp_path / "new")
    assert path.name == filename("Some 0.5") == "some_0.5.json"
    again = Manifest.load(path).subject("cpu")
    assert (again.label, again.method, again.settings, again.budget) == ("Some 0.5", "norm", {"align": 8}, whole.budget)
    assert torch.equal(again.share, share) and again.mixture.remark == "a remark" and again.geometry == "by hand"
    for made, given in zip(again.mixture.experts, experts, strict=True):
        assert {k: v.shape for k, v in made.state_dict().items()} == {k: v.shape for k, v in given.state_dict().items()}
        assert not made.training and not any(p.requires_grad for p in made.parameters())


def test_a_plan_of_calls_is_written_down_where_there_is_one(tmp_path, narrowed) -> None:
    share = torch.ones(1, dtype=torch.float64)
    plan = CallPlan(of=26, made=26, full=9, branch=0)
    for label, given in (("plain", PLAIN), ("planned", plan)):
        subject = Subject(label, Mixture.of_one(narrowed(0.5), plan=given), share, "by hand")
        path = Manifest.of(subject).save(tmp_path)
        assert Manifest.load(path).subject("cpu").mixture.plan == given
        assert ("plan" in json.loads(path.read_text())) == (given != PLAIN)


def test_a_broken_manifest_is_named(tmp_path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"x\.json"):
        Manifest.load(tmp_path / "x.json")


def test_every_shipped_table_finds_its_manifests() -> None:
    """On the machine that is measured nothing is searched: every pruned row was chosen beforehand, as the row says."""
    asked = Campaign.load(SHIPPED / "sd21.yaml")
    for row in asked.rows:
        if row.method == "dense":
            continue
        found = Manifest.load(Path(str(asked.architectures)) / filename(row.label))
        assert (found.label, found.method) == (row.label, row.method)
        assert found.budget == Budget.of(row.budget, asked.macs)
        assert {key: found.settings[key] for key in row.options} == row.options
        assert sum(found.share) == pytest.approx(1) and len(found.share) == len(found.experts)
