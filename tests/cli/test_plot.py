from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aptp_bench.records import save

Call = Callable[..., tuple[int, str]]
STATIC = {"blocks", "samples-samples", "samples-prompts"}
LEARNED = {"search", "assignment", "loads", "blocks"}
LEARNED |= {f"samples-{name}" for name in ("cheap", "dear", "experts", "prompts")}


@pytest.mark.parametrize(("method", "names"), [("norm", STATIC), ("aptp", LEARNED)])
def test_a_runs_figures_are_files(call: Call, finished: Any, tmp_path: Path, method: str, names: set[str]) -> None:
    code, out = call("plot", str(finished(method)), "--out", "figures", "--format", "svg")
    files = {path.name for path in (tmp_path / "figures").iterdir()}
    assert code == 0 and files == {f"{name}.svg" for name in names} == {Path(line).name for line in out.splitlines()}
    assert (tmp_path / "figures" / "blocks.svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")


def test_one_figure_of_one_kind_or_both(call: Call, finished: Any, tmp_path: Path) -> None:
    words = ["plot", str(finished("aptp")), "--out", "figures", "--only", "loads"]
    assert call(*words, "--format", "svg") == (0, "figures/loads.svg\n")
    first = (tmp_path / "figures" / "loads.svg").read_bytes()
    code, out = call(*words)
    assert code == 0 and set(out.split()) == {"figures/loads.svg", "figures/loads.png"}
    assert (tmp_path / "figures" / "loads.svg").read_bytes() == first
    assert (tmp_path / "figures" / "loads.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_run_the_records_are_plotted(call: Call, make_record: Any, tmp_path: Path) -> None:
    for record in (make_record("norm", fid=(3.0, 2.8, 3.2)), make_record("random", fid=(4.0, 3.7, 4.3))):
        save(record, tmp_path / "results")
    code, out = call("plot", "--format", "svg", "--only", "fid")
    assert code == 0 and out.splitlines()[0] == "figures/pareto-mini-coco-mini_sd-fid-exact.svg"
    assert all("-fid-" in line for line in out.splitlines())
    svg = (tmp_path / "figures" / "pareto-mini-coco-mini_sd-fid-exact.svg").read_text(encoding="utf-8")
    assert "mini world" in svg and "Norm" in svg and "Random" in svg


def test_worlds_are_plotted_apart(call: Call, make_record: Any, tmp_path: Path) -> None:
    for record in (make_record("norm"), make_record("norm", world="smoke", what={"scale": "smoke"})):
        save(record, tmp_path / "results")
    code, out = call("plot", "--format", "svg", "--only", "exact", "--only", "nothing")
    names = {Path(line).stem.removesuffix("-exact").rpartition("-")[0] for line in out.splitlines()}
    assert code == 0 and names == {"pareto-mini-coco-mini_sd", "pareto-smoke-coco-mini_sd"}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["RUN", "--format", "pdf"], "'pdf'"),
        (["RUN", "--only", "block"], "did you mean 'blocks'"),
        (["RUN", "--only", "search"], "left out: search"),
        (["nowhere"], "nowhere is no run"),
        (["--results-dir", "none"], "none/records holds no record"),
    ],
)
def test_what_is_wrong_is_said(call: Call, finished: Any, tmp_path: Path, words: list[str], line: str) -> None:
    run = str(finished("norm"))
    code, out = call("plot", "--out", "figures", *(run if word == "RUN" else word for word in words))
    assert code == 2 and out == "" and line in call.err  # type: ignore[attr-defined]
    assert not (tmp_path / "figures").exists()
