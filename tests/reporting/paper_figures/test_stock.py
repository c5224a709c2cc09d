"""What a figure is drawn from: whole rows of one world, or a line that says what would make them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import pytest

from aptp_bench.errors import FigureError
from aptp_bench.harness.run_folder import RunFolder
from aptp_bench.harness.suite import Suite, shipped
from aptp_bench.reporting.paper_figures.catalog import catalog
from aptp_bench.reporting.paper_figures.status import statuses
from aptp_bench.reporting.paper_figures.stock import Stock, sought, stocked

ROWS = ("4 experts", "8 experts", "12 experts")
Shelved = Callable[..., Any]


def test_with_nothing_run_only_the_lists_of_prompts_are_ready(shelf: Shelved) -> None:
    found = statuses(shelf(), "mini")
    assert {each.id for each in found if each.state == "ready"} == {"aptp_8", "aptp_9"}
    assert {each.kind for each in found if each.state == "ready"} == {"table"}
    assert all(each.why for each in found if each.state != "ready")


@pytest.mark.parametrize("scale", ["mini", "smoke", "paper"])
def test_what_makes_the_data_is_a_command_of_a_suite_that_is_there(shelf: Shelved, scale: Any) -> None:
    for each in statuses(shelf(), scale):
        assert (each.state == "needs") == bool(each.command and each.why)
        for command in each.command.split(" && ") if each.state == "needs" else ():
            program, verb, suite, *rest = shlex.split(command)
            assert (program, verb) == ("aptp-bench", "suite") and suite in shipped()
            asked = rest[rest.index("--scale") + 1] if "--scale" in rest else None
            assert Suite.load(suite, asked).scale == scale
            labels = [rest[at + 1] for at, word in enumerate(rest) if word == "--only"]
            assert set(labels) <= {run.label for run in Suite.load(suite, asked).runs()}


def test_every_row_must_be_there_and_what_is_missing_is_named(made: Any, shelf: Shelved) -> None:
    records = [made("mini/experts", row, fid=3.0) for row in ROWS[:2]]
    with pytest.raises(FigureError) as caught:
        stocked(catalog()["aptp_5"], shelf(records), "mini")
    make = "make it: aptp-bench suite mini/experts --only '12 experts'"
    assert str(caught.value) == f"APTP, Fig. 5 has no record of '12 experts'; {make}"
    whole = stocked(catalog()["aptp_5"], shelf([*records, made("mini/experts", ROWS[2])]), "mini")
    assert [item.label for item in whole.items] == list(ROWS)


def test_a_run_counts_as_its_record_does(made: Any, run: Any, shelf: Shelved) -> None:
    for row in ROWS:
        run(made("mini/experts", row), {})
    assert isinstance(sought(catalog()["aptp_5"], shelf(), "mini"), Stock)


def test_rows_of_other_settings_or_of_another_world_are_no_rows(made: Any, shelf: Shelved) -> None:
    records = [made("mini/experts", row) for row in ROWS]
    other = records[2].model_copy(update={"what": records[2].what.model_copy(update={"dataset": "cc3m"})})
    assert not isinstance(sought(catalog()["aptp_5"], shelf([*records[:2], other]), "mini"), Stock)
    assert not isinstance(sought(catalog()["aptp_5"], shelf(records), "paper"), Stock)


def test_rows_of_changed_weights_are_never_mixed(made: Any, shelf: Shelved) -> None:
    old = [made("mini/experts", row, digests={"model": "old"}) for row in ROWS]
    new = [made("mini/experts", row, 1, digests={"model": "new"}) for row in ROWS[1:]]
    found = stocked(catalog()["aptp_5"], shelf([*new, *old]), "mini")
    assert {record.how.digests["model"] for item in found.items for record in item.records} == {"old"}
    mixed = sought(catalog()["aptp_5"], shelf([*new, old[0]]), "mini")
    assert not isinstance(mixed, Stock) and mixed.why == "has no record of '4 experts'"


def test_a_figure_of_runs_is_not_drawn_from_records_nor_from_a_run_that_lost_a_stage(
    made: Any, run: Any, shelf: Shelved
) -> None:
    figure, record = catalog()["ld_pruner_4"], made("ld_pruner_1", "LD-Pruner")
    assert not isinstance(sought(figure, shelf([record]), "mini"), Stock)
    folder = run(record, {"prune": {}})
    assert isinstance(sought(figure, shelf([record]), "mini"), Stock)
    (RunFolder.load(folder).stages["prune"] / "manifest.json").unlink()
    assert not isinstance(sought(figure, shelf([record]), "mini"), Stock)


def test_the_half_that_was_run_is_drawn_where_a_figure_has_two(made: Any, run: Any, shelf: Shelved) -> None:
    run(made("aptp_2", "APTP (0.85)"), {"generate": {}})
    found = stocked(catalog()["aptp_3"], shelf(), "mini")
    assert [part.suite for part in found.parts] == ["aptp_2"]


def test_a_table_is_ready_once_its_rows_are_recorded(made: Any, shelf: Shelved) -> None:
    records = [made("aptp_3", run.label) for run in Suite.load("aptp_3").runs()]
    states = {each.id: each for each in statuses(shelf(records), "mini") if each.kind == "table"}
    assert states["aptp_3"].state == "ready" and states["aptp_3"].command == "aptp-bench tables aptp_3"
    assert states["aptp_1a"].state == "needs" and "6 of 6 rows" in states["aptp_1a"].why


def test_a_run_that_cannot_be_read_is_said(run: Any, made: Any, tmp_path: Any) -> None:
    from aptp_bench.reporting.paper_figures.shelf import Shelf

    (run(made("aptp_3", "Uni-Arch"), {}) / "run.json").write_text("{")
    said: list[str] = []
    assert Shelf.read([], tmp_path / "runs", said.append).runs == {} and len(said) == 1
