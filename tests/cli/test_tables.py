"""The tables command: whole, one by one, past a broken record, and refusing what is not there."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from aptp_bench import records
from aptp_bench.reporting.paper_tables.formats import FORMATS
from aptp_bench.reporting.paper_tables.prompts import prompt_lists
from aptp_bench.reporting.paper_tables.published import published


def test_a_table_is_printed_beside_the_committed_records(call: Any, tracked: Path) -> None:
    code, out = call("tables", "aptp_1b", "--results-dir", str(tracked / "results"))
    line = next(line for line in out.splitlines() if line.startswith("| APTP (0.78)"))
    assert code == 0 and "| 22.60 |" in line
    assert out.count("\n## ") == 0 and out.startswith("## APTP, Table 1b") and call.err == ""


@pytest.mark.parametrize("format", FORMATS)
def test_without_an_id_every_table_is_printed(call: Any, format: str, tmp_path: Path) -> None:
    code, out = call("tables", "--format", format)
    assert code == 0
    if format == "csv":
        assert {row["table"] for row in csv.DictReader(io.StringIO(out))} == {*published(), *prompt_lists()}
    else:
        assert all(table.name in out for table in published().values())
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_written_whole_and_as_it_would_be_printed(call: Any, tmp_path: Path) -> None:
    _, out = call("tables", "ld_pruner_1")
    code, said = call("tables", "ld_pruner_1", "--out", "out/table.md")
    assert (code, said.strip()) == (0, "out/table.md")
    assert (tmp_path / "out" / "table.md").read_text(encoding="utf-8") == out and "Würstchen" in out


def test_output_is_utf8_whatever_the_terminal_says(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr("sys.stdout", terminal)
    assert call("tables", "ld_pruner_1")[0] == 0
    terminal.flush()
    assert "Würstchen".encode() in terminal.buffer.getvalue()


def test_tables_are_listed(call: Any) -> None:
    code, out = call("tables", "--list")
    assert code == 0 and [line.partition(":")[0] for line in out.splitlines()] == [*published(), *prompt_lists()]


def test_a_broken_record_is_named_and_left_out(call: Any, tmp_path: Path, make_record: Any) -> None:
    path = records.save(make_record("norm"), tmp_path / "results")
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "colour": "red"}))
    (path.parent / "torn.json").write_text("{")
    code, out = call("tables", "aptp_1b")
    warnings = call.err.strip().splitlines()
    assert code == 0 and [line.split(" is not a readable")[0] for line in warnings if line.startswith("left")] == [
        f"left out: {Path('results/records') / name}" for name in (path.name, "torn.json")
    ]
    assert next(line for line in out.splitlines() if line.startswith("| Norm")).count("not run") > 1


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["aptp_1c"], "there is no published table 'aptp_1c'; did you mean aptp_1"),
        (["--format", "pdf"], "there is no format 'pdf'; use --format with one of md, csv, latex, html"),
        (["1b", "--out", "/proc/x/y"], "cannot write in /proc/x"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(call: Any, words: list[str], hint: str) -> None:
    code, out = call("tables", *words)
    assert (code, out) == (2, "") and hint in call.err and call.err.count("\n") == 1


def test_outside_of_a_checkout_it_says_that_there_are_no_records(call: Any, tmp_path: Path, make_record: Any) -> None:
    assert call("tables", "aptp_1b")[0] == 0 and "no records in results/records" in call.err
    records.save(make_record("norm"), tmp_path / "results")
    assert call("tables", "aptp_1b")[0] == 0 and call.err == ""
