"""The published numbers are read as they stand in the reference file."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest
from pydantic import ValidationError

from aptp_bench.errors import ConfigError
from aptp_bench.reporting.paper_tables.published import PublishedColumn, PublishedTable, published

FILE = json.loads(files("aptp_bench.reference").joinpath("paper_tables.json").read_text(encoding="utf-8"))
ROW = FILE["aptp_1b"]["rows"][0]
IDS = "aptp_1a aptp_1b aptp_2 aptp_3 aptp_4 aptp_5a aptp_5b aptp_6a aptp_6b aptp_7 ld_pruner_1 ld_pruner_2 ld_pruner_3"


def test_every_table_of_both_papers_is_there() -> None:
    assert list(published()) == IDS.split()


@pytest.mark.parametrize("id", FILE)
def test_a_table_holds_what_its_file_holds(id: str) -> None:
    table, document = published()[id], FILE[id]
    assert [column.key for column in table.columns] == [column["key"] for column in document["columns"]]
    assert len({row.key for row in table.rows}) == len(table.rows) == len(document["rows"])
    for row, line in zip(table.rows, document["rows"], strict=True):
        known = {"method": row.method, "label": row.label, "budget": row.budget, "finetune_steps": row.finetune_steps}
        found = {key: list(value) if isinstance(value, tuple) else value for key, value in row.values.items()}
        assert {**known, **found, **row.facts} == line
        assert {key: type(value) for key, value in found.items()} == {key: type(line[key]) for key in found}


def test_numbers_are_printed_with_the_papers_decimals() -> None:
    column = {"key": "x", "label": "X", "unit": None, "better": None}
    two, free = PublishedColumn(**column, decimals=2), PublishedColumn(**column)
    assert [two.printed(value) for value in (22.6, 0, None)] == ["22.60", "0.00", ""]
    assert [free.printed(value) for value in (24.0, 2000, 0.0001, "GAN", ("a", "b"))] == [
        *("24.0", "2000", "0.0001", "GAN"),
        "a, b",
    ]


def test_a_row_says_how_it_was_made_and_rows_of_one_label_are_told_apart() -> None:
    rows = {row.key: row for row in published()["aptp_5b"].rows}
    first, second = (rows[f"APTP (0.78) @ {steps}"] for steps in (30000, 50000))
    assert (first.setting, second.setting) == tuple(f"{n} steps, 8 experts, budget 0.78" for n in (30000, 50000))
    assert (first.values["fid"], second.values["fid"]) == (22.6, 22.26)
    assert [row.setting for row in published()["aptp_1b"].rows if row.key == "SD 2.1"] == [""]


@pytest.mark.parametrize("asked", ["aptp_1b", "APTP-1b", "1b"])
def test_a_table_is_found_by_what_people_type(asked: str) -> None:
    assert PublishedTable.get(asked).id == "aptp_1b" and PublishedTable.get(asked).name == "APTP, Table 1b"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("aptp_1c", "did you mean aptp_1"),
        ("3", "did you mean aptp_3 or ld_pruner_3?"),
        ("../x", "tables are aptp_1a, aptp_1b"),
    ],
)
def test_an_unknown_table_is_refused_with_a_hint(asked: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PublishedTable.get(asked)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": 1}, "colour"),
        ({"rows": [{**ROW, "fid": [1]}]}, "rows.0.values.fid"),
        ({"rows": [{key: value for key, value in ROW.items() if key != "fid"}]}, "lacks column 'fid'"),
    ],
)
def test_a_file_of_another_form_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        PublishedTable.model_validate({"id": "aptp_1b", **FILE["aptp_1b"], **change})
