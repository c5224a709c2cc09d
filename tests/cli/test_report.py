from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., tuple[int, str]]


def test_the_page_lies_in_the_runs_folder_and_its_path_is_printed(call: Call, finished: Any) -> None:
    run = finished("norm")
    code, out = call("report", str(run))
    assert (code, out) == (0, f"report: {run / 'report.html'}\n")
    assert "norm on coco" in (run / "report.html").read_text(encoding="utf-8")
    assert "left out: search: norm left no history" in call.err  # type: ignore[attr-defined]


def test_out_names_another_place_that_is_made(call: Call, finished: Any, tmp_path: Path) -> None:
    code, out = call("report", str(finished("norm")), "--out", "deep/er/page.html")
    assert code == 0 and out == "report: deep/er/page.html\n"
    assert (tmp_path / "deep" / "er" / "page.html").stat().st_size > 10_000


def test_a_run_is_not_replaced_by_its_report(call: Call, finished: Any) -> None:
    record = finished("norm") / "run.json"
    before = record.read_bytes()
    for words in (["report", str(record.parent)], ["route", "--run", str(record.parent), "--prompt", "a"]):
        assert call(*words, "--out", str(record))[0] == 2
    assert record.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["report", "nowhere"], "error: nowhere is no run: it has no run.json; name a folder that aptp-bench run left"),
        (["report", "RUN", "--out", "."], "error: . is a folder; name a file, such as --out report.html"),
        (["report", "RUN", "--out", "/proc/none/a.html"], "choose another folder with --out"),
        (["report"], "Missing argument"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(call: Call, finished: Any, words: list[str], line: str) -> None:
    run = str(finished("norm"))
    code, out = call(*(run if word == "RUN" else word for word in words))
    assert code == 2 and out == "" and line in call.err and call.err.count("\n") == 1  # type: ignore[attr-defined]
