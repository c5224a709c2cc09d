"""What README and docs print for a shell works as printed: commands that are quick are run, the others planned or read."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench.cli import app
from aptp_bench.cli.failures import outcome
from aptp_bench.generation.images import write_image
from aptp_bench.methods.dense import Dense

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(?:bash|sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
APTP, DENSE = "aptp-coco-0.78exact-seed0-mini", "dense-coco-1exact-seed0-mini"
NAMED = {"RUN": f"runs/{APTP}", "runs/NAME": f"runs/{APTP}"}  # what pages leave open
PLANNED = {"run", "suite"}  # minutes to hours: the whole plan is made
READ = {"check", "evaluate", "plot", "profile"}  # tens of seconds, and tested where they are: every word must be known


def printed() -> list[list[str]]:
    """The words behind `aptp-bench` of every command, each once."""
    found: dict[tuple[str, ...], None] = {}
    for page in PAGES:
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                for joined, part in groupby(words, "&&".__eq__):
                    if not joined:
                        found |= {tuple(part): None}
    ours = [words[1:] for words in found if Path(words[0]).name == "aptp-bench"]
    return [[NAMED.get(word, word) for word in words] for words in ours]


COMMANDS = printed()


@pytest.fixture
def place(
    tmp_path: Path, tracked: Path, finished: Callable[[str], Path], register: Any, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A checkout in which something was run, with the files that pages speak of."""
    made, home = finished("aptp"), tmp_path / "checkout"
    shutil.copytree(tracked / "results", home / "results", copy_function=os.link)
    shutil.copyfile(tracked / "README.md", home / "README.md")
    shutil.copytree(made.parent, home / "runs", copy_function=os.link)
    (dense,) = (path for path in (home / "runs").glob("dense-*") if (path / "run.json").is_file())
    shutil.move(home / "runs" / made.name, home / "runs" / APTP)
    dense.rename(home / "runs" / DENSE)
    for folder in ("my_images", "dense_images"):
        for number in range(4):
            write_image(home / folder, number, torch.full((32, 32, 3), 40 * number, dtype=torch.uint8))
    for file in ("captions.txt", "prompts.txt"):
        (home / file).write_text("a red car\ntwo dogs\na boat\na tree\n", encoding="utf-8")
    register("methods", "outermost", type("Outermost", (Dense,), {"name": "outermost"}))  # the tutorial's
    monkeypatch.chdir(home)
    return home


def test_there_are_commands_of_every_kind() -> None:
    assert {"run", "tables", "leaderboard", "doctor"} <= {words[0] for words in COMMANDS}


@pytest.mark.parametrize("words", COMMANDS, ids=shlex.join)
def test_a_command_works_as_it_is_printed(words: list[str], place: Path, capfd: Any) -> None:
    if words[0] in READ:
        import typer

        typer.main.get_command(app).commands[words[0]].make_context(words[0], words[1:])  # type: ignore[attr-defined]
        return
    plan = ["--dry-run"] if words[0] in PLANNED and "--dry-run" not in words else []
    code = outcome(lambda: app([*words, *plan], standalone_mode=False))
    said = capfd.readouterr()
    if words[0] == "figures" and "make it: aptp-bench suite" in said.err:
        return  # a figure whose data nobody has run yet says what makes it, and that is all it can do
    assert code == 0 and said.out, said.err
