from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import yaml

from aptp_bench.core.progress import SilentProgress
from aptp_bench.errors import ConfigError
from aptp_bench.profiling import records
from aptp_bench.profiling.bench import Site, carry_out
from aptp_bench.profiling.speed_suite import Campaign
from aptp_bench.reporting.figures.speed import draw

ROOT = Path(__file__).parents[2]
TINY = {
    "title": "a table",
    "model": "tiny-sd",
    "protocol": {"warmup": 0, "repeats": 2, "images": 0},
    "setups": [{"dtype": "float32", "batch": 1}],
    "rows": [
        {"label": "dense", "method": "dense", "published": {"latency_s": 4.0}},
        {"label": "Random 0.8", "method": "random", "budget": 0.8},
    ],
    "published": {"source": "a paper"},
}


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(torch.device("cpu"), tmp_path, SilentProgress(), "the command")


def test_a_row_leaves_a_record_that_stands_until_what_was_asked_changes(tiny_model, site, measured) -> None:
    found, failures = carry_out(Campaign.model_validate(TINY), site)
    assert not failures and measured == [("dense", 1), ("Random 0.8", 1)]
    assert [record.label for record in found] == ["dense", "Random 0.8"]
    paths = sorted((site.results / "speed").glob("*.json"))
    assert len(paths) == 2 and {records.load(path).label for path in paths} == {"dense", "Random 0.8"}
    assert found[1].macs_ratio["exact"] == pytest.approx(0.8, abs=0.005)
    assert found[0].published == {"latency_s": 4.0, "source": "a paper"} and found[1].published is None
    assert found[1].how.command == "the command"
    assert {path.suffix for path in draw(found, "a table", site.results)} == {".svg", ".png"}

    measured.clear()
    assert carry_out(Campaign.model_validate(TINY), site) == (found, {}) and measured == []
    changed = copy.deepcopy(TINY)
    changed["rows"][1]["budget"] = 0.7
    carry_out(Campaign.model_validate(changed), site)
    assert measured == [("Random 0.8", 1)]
    measured.clear()
    changed["setups"].append({"dtype": "float32", "batch": 2})
    carry_out(Campaign.model_validate(changed), site)
    assert measured == [("dense", 2), ("Random 0.8", 2)]  # at batch 1 both still stand


def test_a_row_that_cannot_be_made_is_named_and_only_what_is_asked_for_is_made(tiny_model, site) -> None:
    changed = copy.deepcopy(TINY)
    changed["rows"].insert(1, {"label": "too lean", "method": "norm", "budget": 0.0001})
    found, failures = carry_out(Campaign.model_validate(changed), site, ["dense", "too lean"])
    assert [record.label for record in found] == ["dense"]
    assert list(failures) == ["too lean"] and "--budget" in failures["too lean"]
    with pytest.raises(ConfigError, match=r"'sparse'.*Random 0\.8"):
        carry_out(Campaign.model_validate(TINY), site, ["sparse"])


@pytest.mark.parametrize("name", ["mini", "sd21"])
def test_the_shipped_tables_are_valid(name: str) -> None:
    asked = Campaign.load(ROOT / "benchmarks" / "speed" / f"{name}.yaml")
    rows = {(row.method, row.budget) for row in asked.rows}
    assert {(m, b) for m in ("norm", "bk_sdm", "aptp") for b in (0.78, 0.64)} | {("dense", 1.0)} <= rows
    assert len({row.label for row in asked.rows}) == len(asked.rows)


def test_every_width_pruned_row_of_sd21_has_an_aligned_twin() -> None:
    rows = Campaign.load(ROOT / "benchmarks" / "speed" / "sd21.yaml").rows
    plain = {
        row.label: row for row in rows if row.method in ("norm", "structural", "aptp") and "align" not in row.options
    }
    for label, row in plain.items():
        twin = next(each for each in rows if each.label == f"{label} aligned")
        assert twin.options == {**row.options, "align": 64}
        assert twin.budget == row.budget


def test_a_file_that_is_no_table_is_refused(tmp_path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump({**TINY, "colour": 1}), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"x\.yaml: .*colour"):
        Campaign.load(path)
    with pytest.raises(ConfigError, match="nowhere"):
        Campaign.load(tmp_path / "nowhere.yaml")
