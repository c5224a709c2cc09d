from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aptp_bench.reporting.figures.facts import facts_of

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def file(finished: Any, tmp_path: Path) -> Path:
    """The evaluation captions of the runs, with empty lines between them."""
    path = tmp_path / "captions.txt"
    path.write_text("\n\n".join(facts_of(finished("aptp")).captions()) + "\n", encoding="utf-8")
    return path


def test_each_prompt_has_its_expert_and_budget(call: Call, finished: Any, file: Path) -> None:
    facts = facts_of(finished("aptp"))
    code, out = call("route", "--run", str(finished("aptp")), "--captions", str(file))
    lines = out.splitlines()[:6]
    assert code == 0 and lines == [
        f"expert {expert}, {facts.budgets[expert]:.3f} of the MACs: {prompt}"
        for expert, prompt in zip(facts.assignment(), facts.captions(), strict=True)
    ]
    assert f"mean MACs of these prompts, share of dense: {facts.record.macs['exact'].ratio:.4f} (exact)" in out
    assert "mini world, smoke scale" in out


def test_json_says_the_same_with_words(call: Call, finished: Any, file: Path) -> None:
    facts = facts_of(finished("aptp"))
    code, out = call("route", "--run", str(finished("aptp")), "--captions", str(file), "--json", "--top", "2")
    found = json.loads(out)
    assert code == 0 and [row["expert"] for row in found["routes"]] == facts.assignment()
    assert found["mean"]["macs_exact"] == pytest.approx(facts.record.macs["exact"].ratio)
    assert [row["prompts"] for row in found["experts"]] == [e.eval_prompts for e in facts.record.experts]
    assert [row["words"] for row in found["experts"]] == [e.words[:2] for e in facts.record.experts]
    assert sum(row["share"] for row in found["experts"]) == pytest.approx(1)


def test_a_csv_takes_the_rows_off_the_screen(call: Call, finished: Any, file: Path, tmp_path: Path) -> None:
    facts = facts_of(finished("aptp"))
    code, out = call("route", "--run", str(finished("aptp")), "--captions", str(file), "--out", "new/routes.csv")
    rows = list(csv.DictReader((tmp_path / "new" / "routes.csv").read_text(encoding="utf-8").splitlines()))
    assert code == 0 and [row["prompt"] for row in rows] == facts.captions()
    assert [int(row["expert"]) for row in rows] == facts.assignment()
    assert "of the MACs:" not in out and "routes: new/routes.csv" in out


def test_a_static_run_says_that_one_expert_serves_all(call: Call, finished: Any, file: Path) -> None:
    code, out = call("route", "--run", str(finished("norm")), "--captions", str(file))
    assert code == 0 and "norm has one expert: every prompt goes to it" in out
    assert out.count("expert 0, 0.") == 6


def test_prompts_come_from_stdin(call: Call, finished: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO("\ufeffä cat\r\n\n[red] dog\n".encode())))
    code, out = call("route", "--run", str(finished("norm")), "--captions", "-", "--json")
    assert code == 0 and [row["prompt"] for row in json.loads(out)["routes"]] == ["ä cat", "[red] dog"]


def test_no_network_is_read(call: Call, finished: Any, file: Path, tmp_path: Path) -> None:
    run = finished("aptp")
    shutil.copytree(run.parent, tmp_path / "runs")
    for folder in (tmp_path / "runs").glob("finetune-*/mixture/expert-*"):
        shutil.rmtree(folder)
    assert call("route", "--run", f"runs/{run.name}", "--captions", str(file))[0] == 0


def test_an_encoder_that_moved_is_named_and_must_be_the_same(
    call: Call, finished: Any, file: Path, tmp_path: Path
) -> None:
    run = finished("aptp")
    encoder = run.parent.parent / "encoder"
    words = ["route", "--run", str(run), "--captions", str(file), "--json"]
    _, before = call(*words)
    shutil.copytree(encoder, tmp_path / "moved")
    aside = encoder.rename(encoder.with_name("aside"))
    try:
        code, _ = call(*words)
        assert code == 2 and "--encoder FOLDER" in call.err and call.err.count("\n") == 1  # type: ignore[attr-defined]
        assert call(*words, "--encoder", "moved") == (0, before)
        (weights,) = (tmp_path / "moved").rglob("*.safetensors")
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
        code, _ = call(*words, "--encoder", "moved")
        assert code == 2 and "'moved' is not the one of the router" in call.err  # type: ignore[attr-defined]
    finally:
        aside.rename(encoder)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--captions", "none.txt"], "error: none.txt cannot be read"),
        (["--captions", "empty.txt"], "there is no prompt; give --prompt TEXT"),
        (["--captions", "latin.txt"], "give --prompts a UTF-8"),
        (["--captions", "captions.json"], "captions.json is no list of prompts"),
        (["--captions", "wide.txt"], "no character"),
        (["--captions", "unseen.txt"], "unseen.txt line 2 is empty"),
        (["--captions", "pipe"], "there is no prompt"),
        (["--captions", "/dev/zero"], "/dev/zero cannot be read"),
        (["--prompt", " "], "--prompt is empty"),
        (["--captions", "one.txt", "--encoder", "x"], "router 'constant' in"),
        (["--captions", "one.txt", "--out", "one.txt"], "name another place with --out"),
        (["--captions", "one.txt", "--out", "."], "error: . is a folder; name a file, such as --out routes.csv"),
        (["--captions", "one.txt", "--top", "0"], "--top"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    call: Call, finished: Any, tmp_path: Path, words: list[str], line: str
) -> None:
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "one.txt").write_text("a cat\n")
    (tmp_path / "captions.json").write_text('{"0.png": "a cat"}')
    (tmp_path / "wide.txt").write_bytes("a cat\n".encode("utf-16-le"))
    (tmp_path / "unseen.txt").write_text("a cat\n\u200b\n", encoding="utf-8")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin.txt").write_bytes("café\n".encode("latin-1"))
    code, out = call("route", "--run", str(finished("norm")), *words)
    assert code == 2 and out == "" and line in call.err and call.err.count("\n") == 1  # type: ignore[attr-defined]


def test_it_takes_what_generate_takes(call: Call, finished: Any, tmp_path: Path) -> None:
    """Prompts as words and as a file, a run and the pipeline that was saved from it: the same experts."""
    (tmp_path / "prompts.txt").write_text("a red car\ntwo dogs\n", encoding="utf-8")
    asked = ["--prompt", "a boat", "--prompts", "prompts.txt"]
    assert call("generate", "--run", str(finished("aptp")), "--save", "pipeline")[0] == 0
    found = [json.loads(call("route", "--run", of, *asked, "--json")[1]) for of in (str(finished("aptp")), "pipeline")]
    run, pipeline = ([(row["prompt"], row["expert"]) for row in each["routes"]] for each in found)
    assert run == pipeline and [prompt for prompt, _ in run] == ["a boat", "a red car", "two dogs"]
    code, out = call("route", "--run", "pipeline", *asked)
    assert code == 0 and "expert" in out and "--mixture pipeline/mixture" in out
