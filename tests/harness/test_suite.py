"""A suite resolves its rows, names those that cannot be run, and refuses a wrong file before any work."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from aptp_bench.config import SCALES, recipe
from aptp_bench.errors import BudgetError, ConfigError, UnknownNameError
from aptp_bench.harness.suite import Suite, shared_key, shipped
from aptp_bench.reporting.paper_tables.published import PublishedTable, published

ROW: dict[str, Any] = {"label": "all", "method": "dense"}
DENSE_G = 1384.186  # MACs of SD 2.1's U-Net at 768 pixels, in the paper's count


def write(folder: Path, **changes: Any) -> str:
    document = {"title": "T", "dataset": "coco", "scale": "smoke", "rows": [ROW], **changes}
    (folder / "suite.yaml").write_text(yaml.safe_dump({k: v for k, v in document.items() if v is not None}))
    return str(folder / "suite.yaml")


TABLES = [name for name in shipped() if "/" not in name]
OTHERS = [name for name in shipped() if "/" in name]


@pytest.mark.parametrize("name", OTHERS)
def test_every_shipped_suite_resolves_at_the_scale_of_its_folder(name: str) -> None:
    suite = Suite.load(name)
    runs = suite.runs()
    assert len(runs) == len(suite.rows) * len(suite.seeds) and suite.about
    assert {run.recipe.scale for run in runs} == {name.partition("/")[0]}


def test_every_table_of_the_papers_is_a_suite() -> None:
    assert set(TABLES) == set(published())


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", TABLES)
def test_a_table_resolves_at_every_scale_and_says_why_rows_cannot_be_run(name: str, scale: str) -> None:
    suite = Suite.load(name, scale)
    runs = suite.runs()
    assert suite.about and {run.recipe.scale for run in runs} <= {scale}
    assert {run.label for run in runs} | set(suite.left_out) == {row.label for row in suite.rows}
    assert not {run.label for run in runs} & set(suite.left_out)


@pytest.mark.parametrize("name", TABLES)
def test_the_rows_of_a_table_are_the_published_ones_each_once(name: str) -> None:
    table, suite = PublishedTable.get(name), Suite.load(name)
    named = [(row.published, row.column) for row in suite.rows if row.published]
    assert len(named) == len(set(named))
    assert {key for key, _ in named} == (set() if suite.rows[0].experts else {row.key for row in table.rows})
    assert {column for _, column in named} <= {None, *(column.key for column in table.columns)}
    assert suite.rows[0].experts or [row.key for row in table.rows if row.key not in dict(named)] == []


@pytest.mark.parametrize("name", ["aptp_1a", "aptp_1b", "aptp_3", "aptp_5a", "aptp_5b", "aptp_6a", "aptp_6b"])
def test_at_paper_scale_a_row_has_the_budget_and_the_steps_that_are_printed(name: str) -> None:
    table, suite = PublishedTable.get(name), Suite.load(name, "paper")
    recipes = {run.label: run.recipe for run in suite.runs()}
    for row in suite.rows:
        recipe = recipes[row.label]
        assert recipe.budget.convention == "aptp"
        if row.published and recipe.method != "dense":
            (line,) = (line for line in table.rows if line.key == row.published)
            assert recipe.budget.ratio == round(float(str(line.values["macs_g"])) / DENSE_G, 4)
            assert recipe.finetune["steps"] == line.finetune_steps
            assert recipe.method_config.get("experts", 8) == line.facts.get("n_experts", 8)
            assert recipe.method == (line.method if name != "aptp_3" else "aptp")


@pytest.mark.parametrize("letter", "ab")
def test_tables_6_and_1_are_of_the_same_runs(letter: str) -> None:
    for scale in SCALES:
        one, six = (Suite.load(f"aptp_{table}{letter}", scale).runs() for table in (1, 6))
        assert [(run.label, run.recipe) for run in one] == [(run.label, run.recipe) for run in six]


@pytest.mark.parametrize(("words", "main"), [("aptp_2", "aptp_1a"), ("aptp_4", "aptp_1b")])
def test_tables_of_words_are_of_runs_of_table_1(words: str, main: str) -> None:
    for scale in SCALES:
        (run,) = Suite.load(words, scale).runs()
        assert run.recipe in [each.recipe for each in Suite.load(main, scale).runs()]


def test_table_5_tunes_longer_in_every_other_row() -> None:
    assert [run.recipe.finetune["steps"] for run in Suite.load("aptp_5b").runs()] == [300, 500, 300, 500, 300, 500, 300]
    runs = [run.recipe.finetune for run in Suite.load("ld_pruner_3").runs()]
    printed = [column.train_steps or 0 for column in PublishedTable.get("ld_pruner_3").columns]
    for scratch in (True, False):
        assert [each["steps"] * 100 for each in runs if each.get("reset", False) == scratch] == printed


def test_table_1b_has_the_papers_methods_at_equal_cost() -> None:
    runs = Suite.load("aptp_1b").runs()
    assert {run.recipe.method for run in runs} >= {"dense", "norm", "structural", "bk_sdm", "ld_pruner", "aptp"}
    budgets = {run.label: run.recipe.budget.ratio for run in runs}
    assert budgets.pop("SD (dense)") == 1.0 and budgets.pop("APTP (0.64)") == 0.64
    assert set(budgets.values()) == {0.78}


@pytest.mark.parametrize("scale", SCALES)
def test_table_3_adds_one_component_a_row(scale: str) -> None:
    switches = ("uni_arch", "contrastive", "transport", "distillation")
    rows = [tuple(run.recipe.method_config[s] for s in switches) for run in Suite.load("aptp_3", scale).runs()]
    assert [sum(row[1:]) for row in rows] == [0, 1, 2, 3] and [row[0] for row in rows] == [True, False, False, False]


def test_a_suite_without_a_scale_serves_the_one_that_is_asked_for(tmp_path: Path) -> None:
    row = {**ROW, "method": "aptp", "budget": 0.6, "settings": ["experts=2"], "mini": {"budget": 0.7}}
    row["paper"] = {"budget": 0.5, "settings": ["experts=3"]}
    common = {"settings": ["sampling.steps=9"], "paper": {"macs": "aptp", "settings": ["sampling.steps=7"]}}
    name = write(tmp_path, scale=None, rows=[row], **common)
    found = {scale: Suite.load(name, scale).runs()[0].recipe for scale in (None, *SCALES)}
    assert found[None] == found["mini"] and found["mini"].scale == "mini"
    seen = {scale: (r.budget.ratio, r.budget.convention, r.settings) for scale, r in found.items()}
    assert seen["mini"] == (0.7, "exact", ("sampling.steps=9", "experts=2"))
    assert seen["smoke"] == (0.6, "exact", ("sampling.steps=9", "experts=2"))
    assert seen["paper"] == (0.5, "aptp", ("sampling.steps=7", "experts=3"))


def test_a_suite_of_one_scale_refuses_another(tmp_path: Path) -> None:
    name = write(tmp_path)
    assert Suite.load(name, "smoke") == Suite.load(name)
    with pytest.raises(ConfigError, match="'T' is for scale smoke alone; omit --scale paper"):
        Suite.load(name, "paper")
    with pytest.raises(ConfigError, match="unknown scale 'big'; use --scale with one of mini, smoke, paper"):
        Suite.load(write(tmp_path, scale=None), "big")


def test_a_row_with_a_reason_is_left_out_where_it_has_one(tmp_path: Path) -> None:
    rows = [
        ROW,
        {"label": "never", "reason": "no such model"},
        {**ROW, "label": "here", "paper": {"reason": "unnamed"}},
    ]
    name = write(tmp_path, scale=None, rows=rows)
    assert Suite.load(name).left_out == {"never": "no such model"}
    paper = Suite.load(name, "paper")
    assert paper.left_out == {"never": "no such model", "here": "unnamed"}
    assert [run.label for run in paper.runs()] == ["all"]


def test_rows_differ_in_what_they_say_and_share_the_rest(tmp_path: Path) -> None:
    rows = [ROW, {"label": "few", "method": "aptp", "budget": 0.6, "settings": ["experts=2"]}]
    name = write(tmp_path, rows=rows, seeds=[0, 3], macs="aptp", settings=["sampling.steps=4", "sizes.val=5"])
    runs = Suite.load(name).runs(["sampling.steps=2"])
    assert [(run.label, run.seed) for run in runs] == [("all", 0), ("all", 3), ("few", 0), ("few", 3)]
    flags = {"budget.ratio": 0.6, "budget.convention": "aptp", "seed": 3}
    lines = ["sizes.val=5", "experts=2", "sampling.steps=2"]  # what is said anew is left out
    assert runs[3].recipe == recipe("aptp", "coco", "smoke", flags, lines)
    assert runs[3].recipe.sampling.steps == 2 and runs[3].name == "few, seed 3"


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"rows": []}, ConfigError, "rows"),
        ({"rows": [ROW, ROW]}, ConfigError, "two rows are called 'all'"),
        ({"colour": "red"}, ConfigError, "colour"),
        ({"scale": "big"}, ConfigError, "scale: Input should be 'mini', 'smoke' or 'paper'"),
        ({"rows": [{"label": "all"}]}, ConfigError, "row 'all' has neither a method nor a reason"),
        ({"dataset": None}, ConfigError, "dataset"),
        ({"macs": "flops"}, ConfigError, "macs"),
        ({"rows": [{**ROW, "method": "atpt"}]}, UnknownNameError, "row 'all': unknown method 'atpt'; did you mean 'aptp'"),
        ({"rows": [{**ROW, "budget": 1.7}]}, BudgetError, "row 'all': budget 1.7"),
        ({"settings": ["sampling.stps=1"]}, ConfigError, "row 'all': there is no setting 'sampling.stps'"),
    ],
)  # fmt: skip
def test_a_wrong_suite_is_refused_in_one_line(tmp_path: Path, changes: Any, error: Any, words: str) -> None:
    with pytest.raises(error) as caught:
        Suite.load(write(tmp_path, **changes)).runs()
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is not YAML"),
        ("- 1", "see benchmarks/mini"),
        ("", "Field required"),
        ("[" * 5000, "nested too deeply"),
        ("title: t\ndataset: coco\nseeds: [0, 0]\nrows: [{label: a, method: norm}]", "one twice"),
    ],
)
def test_a_file_that_is_no_suite_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "suite.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        Suite.load(str(tmp_path / "suite.yaml"))
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "found"), [("seeds: [010]", (10,)), ("seeds: [true]", None), ("seeds: [1:30]", None), ("seeds: [no]", None)]
)
def test_numbers_of_a_suite_are_those_of_its_settings(tmp_path: Path, key: str, found: Any) -> None:
    (tmp_path / "suite.yaml").write_text(f"title: t\ndataset: coco\n{key}\nrows: [{{label: a, method: norm}}]")
    (setting,) = key.removeprefix("seeds: [").rstrip("]").split()
    if found is not None:
        assert Suite.load(str(tmp_path / "suite.yaml")).seeds == found
        assert (recipe("norm", "coco", "smoke", {}, [f"seed={setting}"]).seed,) == found
        return
    with pytest.raises(ConfigError, match="seeds"):
        Suite.load(str(tmp_path / "suite.yaml"))
    with pytest.raises(ConfigError, match="seed"):
        recipe("norm", "coco", "smoke", {}, [f"seed={setting}"])


def test_a_missing_suite_is_refused_with_a_near_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'mini/alignment'"):
        Suite.load("mini/alinement")
    with pytest.raises(ConfigError, match="did you mean 'aptp_1b'"):
        Suite.load("aptp1b")
    with pytest.raises(ConfigError, match=r"known: aptp_1a, .*, mini/alignment"):
        Suite.load("../../secrets")


def test_seeds_and_budgets_share_their_materials_and_sizes_do_not() -> None:
    one = recipe("dense", "coco", "smoke")
    assert shared_key(one) == shared_key(recipe("aptp", "coco", "smoke", {"seed": 3, "budget.ratio": 0.5}))
    assert shared_key(one) != shared_key(recipe("dense", "coco", "smoke", {}, ["sizes.val=3"]))


def test_a_setting_may_be_of_one_method_alone(tmp_path: Path) -> None:
    rows = [{"label": "a", "method": "aptp", "budget": 0.8}, {"label": "b", "method": "norm", "budget": 0.8}]
    one, other = Suite.load(write(tmp_path, rows=rows)).runs(["aptp.accumulate=16", "seed=3"])
    assert one.recipe.method_config["accumulate"] == 16 and one.recipe.settings[-2:] == ("accumulate=16", "seed=3")
    assert "accumulate=16" not in other.recipe.settings and other.recipe.seed == one.recipe.seed == 3
    with pytest.raises(ConfigError, match=r"row 'a': there is no setting 'acumulate'"):
        Suite.load(write(tmp_path, rows=rows)).runs(["aptp.acumulate=16"])
    with pytest.raises(ConfigError, match=r"no row of .* is of method aptp_equal; they are of"):
        Suite.load(write(tmp_path, rows=rows)).runs(["aptp_equal.accumulate=16"])


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ("title: t\ndatset: coco\nrows: []", "there is no datset; did you mean 'dataset'?"),
        (
            "title: t\ndataset: coco\nrows: [{label: a, metod: norm}]",
            "there is no rows.0.metod; did you mean 'method'?",
        ),
        ("title: t\ndataset: coco\nrows: [{label: a, method: norm, mini: {setings: []}}]", "did you mean 'settings'?"),
        ("title: t\ndataset: coco\ndataset: cc3m\nrows: []", "'dataset' stands there twice"),
    ],
)
def test_a_misspelt_or_doubled_key_is_named(tmp_path, written, line):
    (tmp_path / "s.yaml").write_text(written)
    with pytest.raises(ConfigError, match=re.escape(line)):
        Suite.load(str(tmp_path / "s.yaml"))


@pytest.mark.parametrize("twice", ["settings: [seed=1, seed=2]", "mini: {settings: [order=1, method_config.order=2]}"])
def test_a_setting_that_one_place_says_twice_is_refused_and_another_place_may_change_it(
    tmp_path: Path, twice: str
) -> None:
    suite = tmp_path / "s.yaml"
    text = "title: t\ndataset: coco\nrows: [{label: a, method: norm, settings: [order=2]}]\n"
    suite.write_text(text + "settings: [order=1]\n")
    made = Suite.load(str(suite)).runs(["order=3"])[0].recipe
    assert made.method_config["order"] == 3
    assert made.settings == ("order=3",)  # or the command of its record would give one key three times
    suite.write_text(text + twice + "\n")
    with pytest.raises(ConfigError, match="given twice"):
        Suite.load(str(suite))
