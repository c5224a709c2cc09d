"""The figures command: the list, a figure as files, and one line for what cannot be drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aptp_bench.records import load, save
from aptp_bench.reporting.figures import svg_digest

ROOT = Path(__file__).parents[2]
ROWS = ("4 experts", "8 experts", "12 experts")


@pytest.fixture
def experts(tmp_path: Path) -> None:
    """Records of the rows of Fig. 5 in results."""
    from aptp_bench.harness.suite import Suite

    pattern = load(ROOT / "tests" / "fixtures" / "record-v1.json")
    for run in Suite.load("mini/experts").runs():
        if run.seed == 0:
            save(pattern.model_copy(update={"what": run.recipe}), tmp_path / "results")


def test_without_an_id_every_figure_and_table_is_listed(call: Any, tmp_path: Path) -> None:
    from aptp_bench.reporting.paper_figures.catalog import catalog
    from aptp_bench.reporting.paper_tables.published import published

    code, out = call("figures", "--json")
    found = json.loads(out)["items"]
    assert code == 0 and [each["id"] for each in found if each["kind"] == "figure"] == list(catalog())
    assert [each["id"] for each in found if each["kind"] == "table"] == [*published(), "aptp_8", "aptp_9"]
    code, out = call("figures")
    assert code == 0 and "aptp-bench suite mini/experts" in out and "a drawing of the method" in out
    assert list(tmp_path.iterdir()) == []


def test_a_figure_is_written_sealed_and_said(call: Any, experts: None, tmp_path: Path) -> None:
    code, out = call("figures", "aptp_5", "--out", "drawn", "--json")
    said = json.loads(out)
    assert code == 0 and said["files"] == ["drawn/aptp_5.png", "drawn/aptp_5.svg"] and said["world"] == "mini"
    assert (tmp_path / "drawn" / "aptp_5.png").read_bytes().startswith(b"\x89PNG")
    svg = (tmp_path / "drawn" / "aptp_5.svg").read_text(encoding="utf-8")
    data = {key: value for key, value in said.items() if key not in ("world", "about", "files")}
    assert svg_digest.verify(svg, data) is None
    assert call("figures", "aptp_5", "--format", "svg") == (0, "figures/aptp_5.svg\n")
    assert (tmp_path / "figures" / "aptp_5.svg").read_text(encoding="utf-8") == svg


def test_what_is_ready_is_listed_so(call: Any, experts: None) -> None:
    states = {
        each["id"]: each for each in json.loads(call("figures", "--json")[1])["items"] if each["kind"] == "figure"
    }
    assert [id for id, each in states.items() if each["state"] == "ready"] == ["aptp_5"]
    assert states["aptp_5"]["command"] == "aptp-bench figures aptp_5"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["aptp_5"], "APTP, Fig. 5 has no record of '4 experts', '8 experts', '12 experts'; make it: aptp-bench suite mini/experts"),
        (["aptp_5", "--scale", "paper"], "make it: aptp-bench suite paper/experts"),
        (["aptp_6", "--scale", "paper"], "make it: aptp-bench suite aptp_3 --scale paper"),
        (["ld_pruner_9", "--scale", "paper"], "no suite makes its data at scale paper"),
        (["aptp_1"], "cannot be made: a drawing of the method"),
        (["ld_pruner_12"], "make it: aptp-bench suite mini/ld_pruner_sounds"),
        (["aptp_55"], "the papers have no figure 'aptp_55'; did you mean aptp_5?"),
        (["aptp_5", "--scale", "large"], "unknown scale 'large'"),
        (["aptp_5", "--format", "pdf"], "got 'pdf'"),
        (["aptp_5", "--out", "/proc/x"], "choose another folder with --out"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused_in_one_line(call: Any, tmp_path: Path, words: list[str], line: str) -> None:
    code, out = call("figures", *words)
    assert (code, out) == (2, "") and line in call.err and call.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_prompts_of_the_papers_are_tables(call: Any) -> None:
    code, out = call("tables", "aptp_9")
    assert code == 0 and out.startswith("## APTP, Table 9") and "| a corgi |" in out
