"""A suite does all that can be done, names the rest, and refuses a wrong file before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from aptp_bench.config import Recipe, recipe
from aptp_bench.errors import BudgetError, ConfigError, UnknownNameError
from aptp_bench.suite import Suite, run_all, shared_key, shipped

ROW = {"label": "all", "method": "dense"}


def write(folder: Path, **changes: Any) -> str:
    document = {"title": "T", "dataset": "coco", "scale": "smoke", "rows": [ROW], **changes}
    (folder / "suite.yaml").write_text(yaml.safe_dump({k: v for k, v in document.items() if v is not None}))
    return str(folder / "suite.yaml")


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_suite_resolves_at_the_scale_of_its_folder(name: str) -> None:
    suite = Suite.load(name)
    runs = suite.runs()
    assert len(runs) == len(suite.rows) * len(suite.seeds) and suite.about
    assert {run.recipe.scale for run in runs} == {name.partition("/")[0]}


def test_table_1b_has_the_papers_methods_at_equal_cost() -> None:
    runs = Suite.load("mini/table1_coco").runs()
    assert {run.recipe.method for run in runs} >= {"dense", "norm", "structural", "bk_sdm", "ld_pruner", "aptp"}
    budgets = {run.label: run.recipe.budget.ratio for run in runs}
    assert budgets.pop("SD (dense)") == 1.0 and budgets.pop("APTP (0.64)") == 0.64
    assert set(budgets.values()) == {0.78}


def test_table_3_adds_one_component_a_row() -> None:
    switches = ("uni_arch", "contrastive", "transport", "distillation")
    rows = [tuple(run.recipe.method_config[s] for s in switches) for run in Suite.load("mini/table3").runs()]
    assert rows == [
        (True, False, False, False),
        (False, True, False, False),
        (False, True, True, False),
        (False, True, True, True),
    ]


def test_rows_differ_in_what_they_say_and_share_the_rest(tmp_path: Path) -> None:
    rows = [ROW, {"label": "few", "method": "aptp", "budget": 0.6, "settings": ["experts=2"]}]
    name = write(tmp_path, rows=rows, seeds=[0, 3], macs="aptp", settings=["sampling.steps=4", "sizes.val=5"])
    runs = Suite.load(name).runs(["sampling.steps=2"])
    assert [(run.label, run.seed) for run in runs] == [("all", 0), ("all", 3), ("few", 0), ("few", 3)]
    flags = {"budget.ratio": 0.6, "budget.convention": "aptp", "seed": 3}
    lines = ["sampling.steps=4", "sizes.val=5", "experts=2", "sampling.steps=2"]
    assert runs[3].recipe == recipe("aptp", "coco", "smoke", flags, lines)
    assert runs[3].recipe.sampling.steps == 2 and runs[3].name == "few, seed 3"


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"rows": []}, ConfigError, "rows"),
        ({"rows": [ROW, ROW]}, ConfigError, "two rows are called 'all'"),
        ({"colour": "red"}, ConfigError, "colour"),
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
    ("text", "words"), [("a: [", "is not YAML"), ("- 1", "see benchmarks/mini"), ("", "valid dictionary")]
)
def test_a_file_that_is_no_suite_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "suite.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        Suite.load(str(tmp_path / "suite.yaml"))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_suite_is_refused_with_a_near_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'mini/table3'"):
        Suite.load("mini/tabel3")
    with pytest.raises(ConfigError, match="shipped ones: mini/"):
        Suite.load("../../secrets")


def test_a_failure_stops_its_row_only_and_a_bug_leaves_its_traceback(tmp_path: Path) -> None:
    rows = [{"label": label, "method": "dense"} for label in ("good", "refused", "broken", "last")]
    runs = Suite.load(write(tmp_path, rows=rows)).runs()
    names = iter(rows)
    said: list[str] = []

    def carry_out(recipe: Recipe) -> Any:
        label = next(names)["label"]
        if label == "refused":
            raise BudgetError("too small; raise --budget")
        if label == "broken":
            raise KeyError("oops")
        return label

    outcome = run_all(runs, carry_out, said.append, tmp_path / "logs")
    assert outcome.records == {"good": ["good"], "last": ["last"]}
    assert outcome.failures["refused, seed 0"] == "too small; raise --budget"
    assert "KeyError: 'oops'" in outcome.failures["broken, seed 0"]
    (log,) = (tmp_path / "logs").iterdir()
    assert str(log) in outcome.failures["broken, seed 0"] and "carry_out" in log.read_text()
    assert said[0] == "1 of 4: good, seed 0" and any(line.startswith("failed: refused") for line in said)


def test_ctrl_c_stops_the_suite(tmp_path: Path) -> None:
    def stopped(recipe: Recipe) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(Suite.load(write(tmp_path)).runs(), stopped, lambda line: None, tmp_path)


def test_seeds_and_budgets_share_their_materials_and_sizes_do_not() -> None:
    one = recipe("dense", "coco", "smoke")
    assert shared_key(one) == shared_key(recipe("aptp", "coco", "smoke", {"seed": 3, "budget.ratio": 0.5}))
    assert shared_key(one) != shared_key(recipe("dense", "coco", "smoke", {}, ["sizes.val=3"]))
