"""Some hundred wrong inputs over all commands: a line with the fix and exit code 2, or an answer; never a traceback.

They are made, not listed: every option of every command is given wrong words, every file that a command reads is
given wrong contents. What a kind of input must answer exactly is tested where it is read.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from aptp_bench.cli import app

WORDS = [
    "",
    " ",
    "nowhere/at all",
    "../x",
    "nan",
    "-1",
    "1e999",
    "[1]",
    "{a: 1}",
    "a" * 300,
    "\u00e9\U0001f4a5",
    "a\nb",
    "%s%d",
    "=",
]
# A command that is right and quick, which an option is added to.
QUICK: dict[str, list[str]] = {
    "run": ["run", "--method", "norm", "--dataset", "coco", "--scale", "smoke", "--dry-run"],
    "suite": ["suite", "mini/alignment", "--dry-run"],
    "plan": ["plan", "aptp_1b", "--scale", "paper", "--device", "A100"],
    "submit": ["submit", "no-run"],
    "report": ["report", "no-run"],
    "compare": ["compare", "no-run", "no-run"],
    "plot": ["plot", "--results-dir", "empty"],
    "tables": ["tables", "ld_pruner_1"],
    "figures": ["figures", "aptp_8", "--results-dir", "empty"],
    "leaderboard": ["leaderboard", "--results-dir", "empty"],
    "generate": ["generate", "--run", "no-run", "--prompt", "a cat"],
    "route": ["route", "--run", "no-run", "--captions", "captions.txt"],
    "profile": ["profile", "--model", "mini-sd", "--resolution", "100"],
    "evaluate": ["evaluate", "no-images", "--captions", "captions.txt"],
    "check": ["check", "no-method"],
    "doctor": ["doctor", "--scale", "smoke"],
    "methods": ["methods"], "metrics": ["metrics"], "datasets": ["datasets"], "models": ["models"], "backbones": ["backbones"],
}  # fmt: skip
SETTINGS = [
    "metrics", "metrics.0", "prompts", "model", "backbones", "backbones.inception", "finetune", "finetune.lr", "budget",
    "budget.ratio", "budget.convention", "seed", "sizes", "sizes.val", "resolution.measure", "sampling", "sampling.steps",
    "sampling.guidance", "latency.repeats", "reference", "weights", "method_config", "dataset_config", "order", "", "a.b.c",
]  # fmt: skip
VALUES = [
    "",
    "null",
    "[]",
    "[[1]]",
    "{a: 1}",
    "x",
    "-1",
    "0",
    ".nan",
    ".inf",
    "1e400",
    "true",
    "&a [*a]",
    '"',
    "!!python/none",
    "9" * 5000,
    "!!int x",
]


def commands() -> Iterator[tuple[str, Any]]:
    """The name and the parser of every command."""
    group = typer.main.get_command(app)
    yield from group.commands.items()  # type: ignore[attr-defined]


def options(parser: Any) -> list[str]:
    """The long names of its options that take a value."""
    named = [p for p in parser.params if p.opts[0].startswith("--") and not p.is_flag]
    return [max(p.opts, key=len) for p in named]


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A folder with what is right: a list of captions, two images of theirs."""
    (tmp_path / "captions.txt").write_text("a red car\na dog\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "images").mkdir()
    for i, colour in enumerate(("red", "blue")):
        Image.new("RGB", (32, 32), colour).save(tmp_path / "images" / f"{i}.png")
    return tmp_path


@pytest.fixture
def refused(call: Any, room: Path) -> Any:
    """refused(*words): nothing but an answer, or one line and exit code 2 with nothing written; how it ended."""

    def tried(*words: str) -> int:
        before = sorted(room.rglob("*"))
        code, _ = call(*words)  # a bug comes through as what it is
        assert code in (0, 1, 2), words
        if code == 2:
            *remarks, line = call.err.splitlines()
            assert line.startswith("error: ") and all(r.startswith(("left out: ", "note: ")) for r in remarks), call.err
            assert sorted(room.rglob("*")) == before, words
        assert not list(room.rglob("*.partial")) and not list(room.rglob("*.tmp")), words
        return int(code)

    return tried


def test_every_command_is_tried() -> None:
    assert QUICK.keys() == dict(commands()).keys()


@pytest.mark.parametrize("command", list(QUICK))
def test_every_option_of_every_command_with_wrong_words(refused: Any, command: str) -> None:
    for place, option in enumerate(options(dict(commands())[command])):
        for word in WORDS[place % 2 :: 2]:
            refused(*QUICK[command], option, word)
        assert refused(*QUICK[command], option) == 2, "an option without its value"


@pytest.mark.parametrize("key", SETTINGS)
def test_every_setting_with_wrong_values(refused: Any, key: str) -> None:
    values = VALUES[SETTINGS.index(key) % 2 :: 2]
    assert 2 in {refused(*QUICK["run"], "--set", f"{key}={value}") for value in values}


def png(width: int, height: int, mode: str = "RGB", **how: Any) -> bytes:
    content = io.BytesIO()
    Image.new(mode, (width, height)).save(content, "PNG", **how)
    return content.getvalue()


IMAGES = {
    "0.png": [b"", b"no image", png(32, 32)[:60], png(1, 1), png(20000, 1), png(14000, 14000, "1"), b"\x89PNG\r\n\x1a\n" * 9],
    "0.jpg": [b"", png(32, 32), b"\xff\xd8\xff\xe0"],
    "0.gif": [b"GIF89a", b"GIF89a" + b"\xff" * 40],
}  # fmt: skip


@pytest.mark.parametrize(("name", "content"), [(name, each) for name, many in IMAGES.items() for each in many])
def test_an_image_that_is_none(refused: Any, room: Path, name: str, content: bytes) -> None:
    (room / "images" / "0.png").unlink()
    (room / "images" / name).write_bytes(content)
    words = ["evaluate", "images", "--captions", "captions.txt", "--metrics", "clip_score"]
    code = refused(*words)
    assert code == 2 or content in (png(1, 1), png(32, 32), png(20000, 1))
    refused("evaluate", "images", "--captions", "captions.txt", "--reals", "images", "--metrics", "fid")


CAPTIONS = {
    "c.txt": [
        b"", b"\n\n", b"one\n", b"a\nb\nc\n", b"a\n\nb\n", b"\xff\xfe\x00", b"a\x00b\nc\n", b"\xef\xbb\xbf", b"a\r\rb\r\r", b" \n \n",
    ],
    "c.json": [
        b"", b"{}", b"[]", b"null", b'{"0.png": null, "1.png": "a"}', b'{"0.png": "\\ud800", "1.png": "a"}', b"[" * 100000,
        b'{"0.png": "a"}', b'{"0.png": "a", "0.png": "b", "1.png": "c"}', b'{"0.png": ["a"], "1.png": 3}',
        b'{"../0.png": "a", "1.png": "b"}',
        b'{"0.png": "", "1.png": "a"}', b"\xff", b'{"0.png": NaN, "1.png": "a"}', b'["a", "b", "c"]', b'[["a"], "b"]',
    ],
    "c.csv": [
        b"", b"file,caption\n", b"0.png,a,b\n1.png,c\n", b'0.png,"a\n', b"0.png," + b"a" * 140000 + b"\n1.png,b\n", b"0.png\n1.png\n",
        b"0.png,a\n0.png,b\n", b"\x00", b"0.png,a\n2.png,b\n", b'"0.png""x",a\n1.png,b\n', b"\xff\xfe0", b"0.png;a\n1.png;b\n",
    ],
    "c.xml": [b"<a/>"],
    "u.txt": ["\u200b\n\ufeff\n".encode(), "a\nb\n".encode("utf-16-le"), b"a\x00\nb\n"],
    "u.json": ['{"0.png": "\u200d", "1.png": "a"}'.encode()],
    "u.csv": ["file,caption\n0.png,\ufeff\n1.png,a\n".encode()],
}  # fmt: skip


@pytest.mark.parametrize(("name", "content"), [(name, each) for name, many in CAPTIONS.items() for each in many])
def test_captions_that_are_none(refused: Any, call: Any, room: Path, name: str, content: bytes) -> None:
    (room / name).write_bytes(content)
    assert refused("evaluate", "images", "--captions", name, "--metrics", "clip_score") == 2
    assert refused("route", "--run", "no-run", "--captions", name) == 2
    assert refused("generate", "--run", "no-run", "--prompts", name) == 2
    assert name[0] == "c" or name in call.err  # for what they hold, not for the run


@pytest.mark.parametrize("key", ["finetune.steps", "sampling.steps", "seed", "sizes.train", "prompts", "as"])
def test_evaluate_takes_no_setting_that_it_does_not_read(refused: Any, call: Any, key: str) -> None:
    words = ["evaluate", "images", "--captions", "captions.txt", "--metrics", "clip_score"]
    assert refused(*words, "--dataset", "coco", "--set", f"{key}=1") == 2


def test_settings_of_a_dataset_want_one(refused: Any, call: Any) -> None:
    words = ["evaluate", "images", "--captions", "captions.txt", "--metrics", "fid"]
    assert refused(*words, "--reals", "images", "--set", "sizes.val=2") == 2 and "--dataset" in call.err
    assert refused(*words, "--dataset", "coco", "--set", "sizes.val=2") == 0


SUITES = [
    b"", b"[", b"- 1", b"3", b"\xff\xfe\x00", b"[" * 5000, b"{a: " * 5000, b"rows: 3", b"title: [1]\nrows: []", b"a: &x [*x]",
    b"!!python/object/apply:os.system ['true']", b"title: t\ndataset: coco\nrows:\n - {label: a, method: norm, budget: .nan}",
    b"title: t\ndataset: ../x\nrows:\n - {label: a, method: norm, budget: 0.5}",
    b"title: t\ndataset: coco\nseeds: [0, 0]\nrows:\n - {label: a, method: norm, budget: 0.5}",
    b"title: t\ndataset: coco\nseeds: [-1]\nrows:\n - {label: a, method: norm, budget: 0.5}",
    b"title: t\ndataset: coco\nrows:\n - {label: a, method: norm, budget: 0.5, settings: ['finetune.lr=.inf']}",
    b"title: t\ndataset: coco\nrows:\n - {label: a, method: norm, budget: 0.5, settings: [3]}",
    b"title: t\ndataset: [coco]\nrows:\n - {label: a, method: norm, budget: 0.5}",
]  # fmt: skip


@pytest.mark.parametrize("content", SUITES)
def test_a_suite_that_is_none(refused: Any, room: Path, content: bytes) -> None:
    (room / "suite.yaml").write_bytes(content)
    assert refused("suite", "suite.yaml", "--dry-run") == 2


def test_a_pipe_into_which_nobody_writes(refused: Any, room: Path) -> None:
    """It is empty; nothing waits."""
    (room / "run").mkdir()
    for name in ("pipe.txt", "suite.yaml", "a.json", "run/run.json"):
        os.mkfifo(room / name)
    for words in (
        ["generate", "--run", "no-run", "--prompts", "pipe.txt"], ["route", "--run", "no-run", "--captions", "pipe.txt"],
        ["evaluate", "images", "--captions", "pipe.txt"], ["suite", "suite.yaml", "--dry-run"], ["compare", "a.json", "a.json"],
        ["compare", "run", "run"], ["report", "run"],
    ):  # fmt: skip
        assert refused(*words) == 2


RUNS = [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100000, b'{"a": 1}', b'{"stages": {}}']


@pytest.mark.parametrize("content", RUNS)
def test_a_run_that_is_none(refused: Any, room: Path, content: bytes) -> None:
    """Of a run, of a saved pipeline, of a mixture."""
    for name in ("run.json", "mixture.json", "model_index.json"):
        shutil.rmtree(room / "run", ignore_errors=True)
        (room / "run").mkdir()
        (room / "run" / name).write_bytes(content)
        for words in (
            ["report", "run"], ["submit", "run"], ["compare", "run", "run"], ["plot", "run"], ["generate", "--run", "run", "--prompt", "a"],
            ["route", "--run", "run", "--captions", "captions.txt"], ["profile", "--run", "run"],
            ["profile", "--mixture", "run", "--model", "mini-sd"],
        ):  # fmt: skip
            assert refused(*words) == 2


@pytest.mark.parametrize("content", [*RUNS, json.dumps({"schema_version": 9}).encode()])
def test_records_that_are_none(refused: Any, call: Any, room: Path, content: bytes) -> None:
    (room / "results" / "records").mkdir(parents=True)
    (room / "results" / "records" / "a.json").write_bytes(content)
    for words in (["tables", "aptp_1b"], ["figures"], ["plot", "--out", "drawn"], ["leaderboard", "--check"]):
        refused(*words, "--results-dir", "results")
    refused("leaderboard", "--json", "--results-dir", "results")
    assert "a.json" in call.err
