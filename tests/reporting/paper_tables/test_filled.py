"""Records come to the rows that they are runs of, and mini numbers are never subtracted from published ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from aptp_bench.config import Recipe, merged
from aptp_bench.harness.suite import Suite
from aptp_bench.records import Expert, Record, World
from aptp_bench.reporting.paper_tables.filled import CellValue, FilledTable, fill
from aptp_bench.reporting.paper_tables.formats import markdown
from aptp_bench.reporting.paper_tables.published import published
from aptp_bench.reporting.paper_tables.readings import Reading, readings
from aptp_bench.reporting.ranking.entries import question

Made = Callable[..., Record]


def found(filled: FilledTable, line: str, column: str, world: World) -> CellValue:
    (row,) = (row for row in filled.lines if row.label == line)
    return next(cell.ours[world] for cell in row.cells if cell.column.key == column)


def value(filled: FilledTable, line: str, column: str, world: World) -> float:
    return found(filled, line, column, world).summary.value


def filled(table: str, records: Sequence[Record] = ()) -> FilledTable:
    return fill(published()[table], records)


def every(filled: FilledTable) -> list[tuple[World, CellValue]]:
    return [(world, each) for line in filled.lines for cell in line.cells for world, each in cell.ours.items()]


def test_a_paper_run_stands_beside_the_published_number_with_its_difference(made: Made) -> None:
    record = made("aptp_1b", "APTP (0.78)", "paper", fid=24.86, clip_score=31.0, latency=2.0)
    table = filled("aptp_1b", [record])
    fid = found(table, "APTP (0.78)", "fid", "paper")
    assert (fid.summary.value, fid.summary.interval, fid.summary.seeds, fid.summary.n) == (24.86, (23.86, 25.86), 1, 50)
    assert fid.difference.absolute == pytest.approx(2.26) and fid.difference.relative == pytest.approx(0.1)
    assert found(table, "APTP (0.78)", "clip", "paper").difference.absolute == pytest.approx(-0.32)
    assert found(table, "APTP (0.64)", "fid", "paper").text == "not run"
    assert found(table, "APTP (0.78)", "fid", "mini").text == "not run"
    assert found(table, "APTP (0.78)", "cmmd", "paper").text == "not measured"


def test_macs_are_giga_of_the_papers_count_with_exact_ones_beside_and_a_share_in_the_mini_world(made: Made) -> None:
    records = [made("aptp_1b", "SP", scale) for scale in ("paper", "mini")]
    table = filled("aptp_1b", records)
    paper = found(table, "SP (Fang et al., 2023)", "macs_g", "paper")
    assert paper.summary.value == pytest.approx(60.0) and paper.beside == "60.00 exact" and paper.unit == "GMACs"
    assert paper.difference.absolute == pytest.approx(60.0 - 1071.4)
    mini = found(table, "SP (Fang et al., 2023)", "macs_g", "mini")
    assert mini.summary.value == 0.6 and mini.unit == "of dense"


def test_seconds_of_another_machine_are_not_subtracted(made: Made) -> None:
    table = filled("aptp_1b", [made("aptp_1b", "SP", "paper", latency=2.0)])
    latency = found(table, "SP (Fang et al., 2023)", "latency_s", "paper")
    assert latency.summary is not None and latency.difference is None
    assert (latency.beside, latency.unit) == ("0.5000 of dense", "s/image")


def test_numbers_of_another_unit_are_not_subtracted(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [made("aptp_1b", "SP", "paper", fid=50.0)]
    for unit, subtracted in ((None, True), ("x1000", False)):
        own = {"fid": dict.fromkeys(("paper", "mini"), Reading(value="results.fid", unit=unit))}
        monkeypatch.setattr("aptp_bench.reporting.paper_tables.filled.readings", lambda table, own=own: own)
        each = found(filled("aptp_1b", records), "SP (Fang et al., 2023)", "fid", "paper")
        assert each.summary is not None and bool(each.difference) == subtracted


@pytest.mark.parametrize("table", published())
def test_mini_numbers_have_no_difference_in_any_table(made: Made, table: str) -> None:
    scores = dict.fromkeys(("fid", "clip_score", "cmmd", "pick_score", "inception_score", "latency"), 5.0)
    records = [made(table, run.label, "mini", **scores) for run in Suite.load(table).runs()]
    seen = every(filled(table, records))
    assert not any(each.difference for _, each in seen)
    assert bool(records) == any(each.summary for world, each in seen if world == "mini")
    assert not any(each.summary for world, each in seen if world == "paper")


def test_smoke_runs_stand_nowhere(made: Made) -> None:
    assert not any(each.summary for _, each in every(filled("aptp_1b", [made("aptp_1b", "SP", "smoke", fid=1.0)])))


@pytest.mark.parametrize(
    "change",
    [
        {"finetune": {"steps": 299}},
        {"budget": {"ratio": 0.77, "convention": "exact"}},
        {"budget": {"ratio": 0.78, "convention": "aptp"}},
        {"method_config": {"experts": 7}},
        {"sizes": {"train": 8192, "val": 100, "partiprompts": 192}},
        {"sampling": {"steps": 24}},
        {"weights": "random"},
        {"dataset": "cc3m"},
        {"backbones": {"inception": "another"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_run_with_other_settings_is_no_run_of_the_row(made: Made, change: dict[str, Any]) -> None:
    record = made("aptp_1b", "APTP (0.78)", "mini", fid=3.0)
    what = Recipe.model_validate(merged(record.what.model_dump(), change))
    assert found(filled("aptp_1b", [record]), "APTP (0.78)", "fid", "mini").summary
    other = record.model_copy(update={"what": what})
    assert not found(filled("aptp_1b", [other]), "APTP (0.78)", "fid", "mini").summary


@pytest.mark.parametrize("key", ["seed", "metrics", "latency", "encode_batch", "settings", "reference"])
def test_what_changes_no_number_changes_no_question(made: Made, key: str) -> None:
    what = made("aptp_1b", "APTP (0.78)", "mini").what
    assert question(what) == question(what.model_copy(update={key: "another"}))


def test_options_that_newer_releases_added_do_not_hide_older_records(made: Made) -> None:
    record = made("aptp_1b", "APTP (0.78)", "mini", fid=3.0)
    config = {key: value for key, value in record.what.method_config.items() if key != "align"}
    old = record.model_copy(update={"what": record.what.model_copy(update={"method_config": config})})
    assert "align" in record.what.method_config
    assert value(filled("aptp_1b", [old]), "APTP (0.78)", "fid", "mini") == 3.0


def test_seeds_are_averaged_and_their_spread_is_pooled_over_the_rows(made: Made) -> None:
    records = [made("aptp_1b", "SP", "mini", seed, fid=fid) for seed, fid in enumerate((4.0, 6.0))]
    records += [made("aptp_1b", "Norm", "mini", fid=5.0)]
    table = filled("aptp_1b", records)
    two, one = (
        found(table, line, "fid", "mini").summary for line in ("SP (Fang et al., 2023)", "Norm (Li et al., 2017)")
    )
    assert (two.value, two.seeds, one.seeds) == (5.0, 2, 1) and "seeds" in one.basis
    assert one.half_width > two.half_width > 1


def test_records_of_changed_weights_are_not_averaged_with_others(made: Made) -> None:
    first, second = made("aptp_1b", "SP", "mini", 0, fid=4.0), made("aptp_1b", "SP", "mini", 1, fid=6.0)
    how = second.how.model_copy(update={"digests": {**second.how.digests, "model": "another"}})
    table = filled("aptp_1b", [first, second.model_copy(update={"how": how})])
    summary = found(table, "SP (Fang et al., 2023)", "fid", "mini").summary
    assert (summary.value, summary.seeds) == (6.0, 1)


def test_a_cell_without_a_run_names_the_command_that_fills_it() -> None:
    table = filled("aptp_1b")
    norm = {world: found(table, "Norm (Li et al., 2017)", "fid", world).command for world in ("paper", "mini")}
    assert norm == {
        "paper": "aptp-bench suite aptp_1b --scale paper --only Norm",
        "mini": "aptp-bench suite aptp_1b --only Norm",
    }
    assert table.commands["paper"] == "aptp-bench suite aptp_1b --scale paper"


def test_rows_of_ours_stand_below_those_of_the_paper(made: Made) -> None:
    table = filled("aptp_1b", [made("aptp_1b", "LD-Pruner", "mini", fid=2.5)])
    assert [line.label for line in table.lines if line.ours] == ["Random", "LD-Pruner"] == [
        line.label for line in table.lines[-2:]
    ]  # fmt: skip
    assert value(table, "LD-Pruner", "fid", "mini") == 2.5
    assert all(cell.published is None for line in table.lines[-2:] for cell in line.cells)


def test_rows_that_cannot_be_run_say_why() -> None:
    table = filled("aptp_7")
    assert "another system" in found(table, "GigaGAN (Kang et al., 2023)", "fid_30k", "paper").reason
    assert "another group" in found(filled("ld_pruner_1"), "Small Stable Diffusion", "fid", "mini").reason
    steps = filled("ld_pruner_3")
    for line in ("From Scratch", "With Preserved Weight"):
        assert "neither model nor data" in found(steps, line, "fid_at_4k", "paper").reason


def test_cells_that_are_runs_of_their_own_are_filled_one_by_one(made: Made) -> None:
    table = filled("ld_pruner_3", [made("ld_pruner_3", "12k steps", "mini", fid=3.5)])
    assert value(table, "With Preserved Weight", "fid_at_12k", "mini") == 3.5
    lacking = found(table, "With Preserved Weight", "fid_at_20k", "mini")
    assert lacking.text == "not run" and lacking.command.endswith("--only '20k steps'")
    anew = found(table, "From Scratch", "fid_at_12k", "mini")
    assert anew.text == "not run" and anew.command.endswith("--only 'From scratch, 12k steps'")


def test_other_scales_of_a_number_are_converted(made: Made) -> None:
    record = made("aptp_7", "APTP-Base", "paper", clip_score=31.8, fid=20.0)
    table = filled("aptp_7", [record])
    clip = found(table, "APTP-Base (@30k)", "clip", "paper")
    assert clip.summary.value == pytest.approx(0.318)
    assert clip.summary.interval == pytest.approx((0.308, 0.328))
    assert clip.difference.absolute == pytest.approx(0.0)
    assert value(table, "APTP-Base (@30k)", "params_b", "paper") == record.parameters.per_image / 1e9
    fast = filled("ld_pruner_1", [made("ld_pruner_1", "LD-Pruner", "paper", latency=2.0, clip_score=30.0)])
    line = "LD-Pruner (42 modifications)"
    assert value(fast, line, "speedup_pct", "paper") == 50.0
    assert found(fast, line, "clip", "paper").difference is None  # another backbone


def test_experts_are_numbered_by_their_cost_and_words_may_be_lacking(made: Made) -> None:
    record = made("aptp_4", "APTP (0.78)", "mini")
    sizes = ((90, ["cat"], 5), (50, [], 5), (70, [], 0))
    experts = [
        Expert(macs=dict.fromkeys(record.macs, int(size * 1e9)), parameters=1, train_prompts=1, eval_prompts=n, words=words)
        for size, words, n in sizes
    ]  # fmt: skip
    table = filled("aptp_4", [record.model_copy(update={"experts": experts})])
    assert [value(table, f"Expert {i}", "macs_ratio", "mini") for i in (1, 2, 3)] == [0.5, 0.7, 0.9]
    words = [found(table, f"Expert {i}", "words", "mini").text for i in (1, 2, 3, 4)]
    assert words == ["words not kept by this record", "serves no prompt", "cat", "no such expert"]


def test_a_count_has_no_interval_though_other_rows_vary(made: Made) -> None:
    records = [made("aptp_1b", row, "mini", seed=seed, fid=3.0 + seed) for row in ("Norm", "SP") for seed in (0, 1)]
    counts = {name: facts.model_copy(update={"ratio": 0.7}) for name, facts in records[0].macs.items()}
    table = filled("aptp_1b", [records[0].model_copy(update={"macs": counts}), *records[1:]])
    macs, fid = (found(table, "SP (Fang et al., 2023)", key, "mini").summary for key in ("macs_g", "fid"))
    assert (macs.value, macs.interval) == (0.6, None)
    assert fid.basis == "seeds and prompts or runs"


def test_words_are_those_of_the_first_seed_that_kept_them(made: Made) -> None:
    old = made("aptp_4", "APTP (0.78)", "mini")
    new = made("aptp_4", "APTP (0.78)", "mini", seed=1)
    new = new.model_copy(update={"experts": [e.model_copy(update={"words": ["cat"]}) for e in new.experts]})
    assert found(filled("aptp_4", [old, new]), "Expert 1", "words", "mini").text == "cat"


@pytest.mark.parametrize("table", published())
def test_every_reading_is_of_a_column_that_is_there(table: str) -> None:
    keys = {column.key for column in published()[table].columns}
    assert keys & readings(table).keys()
    shared = {key for id in published() for key in readings(id)}
    everywhere = {column.key for each in published().values() for column in each.columns}
    assert shared <= everywhere


def test_a_line_is_marked_where_another_is_better_beyond_doubt_for_no_more_macs(made: Made) -> None:
    fids = {"SP": 3.0, "APTP (0.78)": 9.0, "APTP (0.64)": 9.5}
    records = [made("aptp_1b", row, "mini", fid=fid) for row, fid in fids.items()]
    cheaper = {name: counts.model_copy(update={"ratio": 0.3}) for name, counts in records[2].macs.items()}
    records[2] = records[2].model_copy(update={"macs": cheaper})
    table = filled("aptp_1b", records)
    lines = ("SP (Fang et al., 2023)", "APTP (0.78)", "APTP (0.64)")
    assert [found(table, line, "fid", "mini").beaten for line in lines] == [False, True, False]
    text = markdown([table])
    assert text.count("†") == 2 and "9.000 †" in text  # the cell, and the note that says what it means
    assert "†" not in markdown([filled("aptp_1b", records[:1])])
