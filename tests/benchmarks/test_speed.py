from __future__ import annotations

import runpy
import sys

import pytest
import yaml

from aptp_bench.benchmarks.speed.__main__ import speed
from aptp_bench.errors import ConfigError, SuiteError
from aptp_bench.profiling import records

TABLE = {
    "title": "a table",
    "model": "tiny-sd",
    "protocol": {"warmup": 0, "repeats": 5, "images": 0},
    "sampling": {"steps": 2},
    "setups": [{"dtype": "float32", "batch": 1}, {"dtype": "float32", "batch": 2}],
    "rows": [
        {"label": "dense", "method": "dense", "published": {"latency_s": 4.0}},
        {"label": "Random 0.8", "method": "random", "budget": 0.8},
    ],
    "published": {"source": "a paper", "device": "a machine"},
}


@pytest.fixture
def table(tiny_model, tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.yaml").write_text(yaml.safe_dump(TABLE), encoding="utf-8")
    return "table.yaml"


def test_a_table_is_measured_saved_and_shown(table, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["speed", "table.yaml", "--results-dir", "/elsewhere", "--repeats", "2"])
    speed(table, device="cpu", repeats=2, images=2, setup=[2])
    shown = capsys.readouterr().out
    for words in ("Random 0.8", "float32, batch 2, eager", "a paper, a machine", "4.0", "tiny-sd, 8 px"):
        assert words in shown
    assert "batch 1" not in shown
    paths = sorted((tmp_path / "results" / "speed").iterdir())
    dense, random = (records.load(path) for path in paths)
    assert (dense.label, random.label) == ("dense", "Random 0.8")
    assert [timing.setup.batch for timing in random.timings] == [2]
    assert random.timings[0].call.n == random.timings[0].image.n == 2
    assert random.how.command == "python -m aptp_bench.benchmarks.speed table.yaml --repeats 2"
    assert random.timings[0].image_ratio is not None


def test_rows_that_fail_are_named_after_the_table(table, tmp_path, capsys) -> None:
    broken = {**TABLE, "rows": [*TABLE["rows"], {"label": "too lean", "method": "norm", "budget": 0.0001}]}
    (tmp_path / "table.yaml").write_text(yaml.safe_dump(broken), encoding="utf-8")
    with pytest.raises(SuiteError, match=r"1 of 2 runs failed: too lean: .*raise --budget"):
        speed(table, device="cpu", repeats=2, setup=[1], only=["dense", "too lean"])
    assert "dense" in capsys.readouterr().out


def test_a_table_that_is_not_there_is_refused(table) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        speed("nowhere", device="cpu")


def test_the_command_says_its_options(capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["speed", "--help"])
    monkeypatch.delitem(sys.modules, "aptp_bench.benchmarks.speed.__main__")
    with pytest.raises(SystemExit) as done:
        runpy.run_module("aptp_bench.benchmarks.speed", run_name="__main__", alter_sys=True)
    assert not done.value.code and "--results-dir" in capsys.readouterr().out
