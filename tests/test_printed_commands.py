"""What README and docs print for a shell is run as printed, beside recipes that are shortened where a run takes minutes."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench import config
from aptp_bench.cli import app
from aptp_bench.cli.failures import outcome
from aptp_bench.core.recipe import Recipe
from aptp_bench.core.settings import SamplingConfig, TrainConfig
from aptp_bench.core.store import MANIFEST
from aptp_bench.generation.images import write_image
from aptp_bench.harness import suite
from aptp_bench.methods.aptp import pruning
from aptp_bench.profiling import request, speed
from aptp_bench.profiling.timing import alternately
from aptp_bench.training import finetune
from aptp_bench.training.loop import Row, read_trained, train
from tests.conftest import tiny_pipeline, tiny_plugin

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "paper_scale.md"  # it has a world of its own: tests/harness/test_paper_scale.py
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted({*(ROOT / "docs").rglob("*.md")} - {GUIDE})]
BLOCK = re.compile(r"^```(?:bash|sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
APTP, DENSE = "aptp-coco-0.78exact-seed0-mini", "dense-coco-1exact-seed0-mini"
NAMED = {"RUN": f"runs/{APTP}", "runs/NAME": f"runs/{APTP}"}  # what pages leave open
MODULE = "python -m aptp_bench.benchmarks."
SHORT: dict[str, Any] = {  # laid on the recipes of the mini world: the same stages, a few steps of each
    "sizes": {"train": 64, "val": 16, "partiprompts": 8},
    "finetune": {"steps": 2, "batch": 8},
    "sampling": {"steps": 2, "batch": 64},
    "latency": {"warmup": 0, "repeats": 2},
}
MOST_STEPS, MOST_PROMPTS = 4, 32  # of a training, of sampling, of an evaluation set that the command itself gives
PLOTTED = ["fid", "fad", "pairs"]  # of the committed records, where a command asks for all of their fifty figures
SHORT_COCO = {"model": "deeper-sd", "resolution": {"train": 8}}
SHORT_METHODS = {
    "aptp": {"experts": 2, "warmup_steps": 2, "joint_steps": 2, "batch": 32, "align_steps": 20},
    "structural": {"stride": 500, "pairs": 8, "micro_batch": 8},
    "ld_pruner": {"prompts": 2, "generations": 2, "steps": 1},
}


def printed() -> list[list[str]]:
    """The words of every command of ours, `aptp-bench …` or `python -m aptp_bench.benchmarks.…`, each command once."""
    found: dict[tuple[str, ...], None] = {}
    for page in PAGES:
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                for joined, part in groupby(words, "&&".__eq__):
                    if not joined:
                        found |= {tuple(part): None}
    ours = [words for words in found if Path(words[0]).name == "aptp-bench" or MODULE in " ".join(words[:3])]
    return [[NAMED.get(word, word) for word in words] for words in ours if "…" not in words]


COMMANDS = printed()
plot: Any = importlib.import_module("aptp_bench.cli.plot")


def carried_out(words: list[str]) -> int:
    """The exit code of a command, in this process."""
    if words[0] != "python":
        return outcome(lambda: app(words[1:], standalone_mode=False))
    _, _, module, *options = words
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", [module, *options])
        runpy.run_module(module, run_name="__main__")
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished stages of the commands so far: each is named by all that went into it, so a command reads what another made."""
    return tmp_path_factory.mktemp("stages")


@pytest.fixture
def place(
    tmp_path: Path,
    tracked: Path,
    finished: Any,
    stages: Path,
    register: Any,
    snippet: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """A checkout in which something was run, with the files that pages speak of."""
    made, home = finished("aptp"), tmp_path / "checkout"
    shutil.copytree(tracked / "results", home / "results", copy_function=os.link)
    shutil.copyfile(tracked / "README.md", home / "README.md")
    shutil.copytree(made.parent, home / "runs", copy_function=os.link)
    (dense,) = (path for path in (home / "runs").glob("dense-*") if (path / "run.json").is_file())
    shutil.move(home / "runs" / made.name, home / "runs" / APTP)
    dense.rename(home / "runs" / DENSE)
    for stage in stages.iterdir():
        if not (home / "runs" / stage.name).exists():
            shutil.copytree(stage, home / "runs" / stage.name, copy_function=os.link)
    for folder in ("my_images", "dense_images"):
        for number in range(4):
            write_image(home / folder, number, torch.full((32, 32, 3), 40 * number, dtype=torch.uint8))
    for file in ("captions.txt", "prompts.txt"):
        (home / file).write_text("a red car\ntwo dogs\na boat\na tree\n", encoding="utf-8")
    register("methods", "outermost", snippet("method.md", "Outermost"))
    monkeypatch.chdir(home)
    yield home
    for manifest in (home / "runs").glob(f"*/{MANIFEST}"):
        if not (stages / manifest.parent.name).exists():
            manifest.parent.rename(stages / manifest.parent.name)


@pytest.fixture(scope="module")
def deeper() -> Any:
    """A model with layers to take out, for BK-SDM; the kept runs, which commands read too, are of tiny-sd."""
    return type("DeeperSD", (tiny_plugin(tiny_pipeline(layers_per_block=2)),), {"name": "deeper-sd"})


@pytest.fixture(autouse=True)
def short(register: Any, deeper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes of a few steps."""
    register("models", deeper.name, deeper)
    whole, resolved = config.preset, config.recipe

    def preset(scale: str) -> dict[str, Any]:
        if scale == "paper":
            return whole(scale)
        found = config.merged(whole(scale), SHORT)
        sections: dict[str, Any] = {name: {"methods": SHORT_METHODS} for name in found["datasets"]}
        return config.merged(found, {"datasets": config.merged(sections, {"coco": SHORT_COCO})})

    def less(asked: TrainConfig) -> TrainConfig:
        return asked.model_copy(update={"steps": min(asked.steps, MOST_STEPS)})

    def few(module: Any, loss: Any, asked: TrainConfig, **rest: Any) -> list[Row]:
        return train(module, loss, less(asked), **rest)

    def read_few(module: Any, asked: TrainConfig, **rest: Any) -> None:
        read_trained(module, less(asked), **rest)

    def recipe(*asked: Any, **rest: Any) -> Recipe:
        found = resolved(*asked, **rest)
        if found.scale == "paper":
            return found
        sizes = found.sizes.model_copy(update={"val": min(found.sizes.val, MOST_PROMPTS)})
        sampling = found.sampling.model_copy(update={"steps": min(found.sampling.steps, MOST_STEPS)})
        return found.model_copy(update={"sizes": sizes, "sampling": sampling})

    monkeypatch.setattr(config, "preset", preset)
    monkeypatch.setattr(config, "recipe", recipe)
    for trains in (finetune, pruning):
        monkeypatch.setattr(trains, "train", few)
    monkeypatch.setattr(finetune, "read_trained", read_few)
    monkeypatch.setattr(suite, "_runs", inspect.unwrap(suite._runs))  # rows that others resolved are whole


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timings of two calls and of images of a few steps; figures of a few metrics."""
    plotted = plot._of_records

    def short_timed(calls: Any, device: Any, warmup: int, repeats: int) -> Any:
        return alternately(calls, device, min(warmup, 1), min(repeats, 2))

    def plotted_few(results: Path, only: Sequence[str]) -> Iterator[tuple[str, Any]]:
        return plotted(results, only or PLOTTED)

    monkeypatch.setattr(speed, "alternately", short_timed)
    monkeypatch.setattr(request, "Protocol", partial(speed.Protocol, sampling=SamplingConfig(steps=MOST_STEPS)))
    monkeypatch.setattr(plot, "_of_records", plotted_few)


def test_there_are_commands_of_every_kind() -> None:
    assert {"run", "suite", "tables", "leaderboard", "profile", "evaluate", "doctor"} <= {
        words[1] for words in COMMANDS
    }


@pytest.mark.parametrize("words", COMMANDS, ids=shlex.join)
def test_a_command_works_as_it_is_printed(words: list[str], place: Path, capfd: Any) -> None:
    code = carried_out(words)
    said = capfd.readouterr()
    if words[1] == "figures" and "make it: aptp-bench suite" in said.err:
        return  # a figure whose data nobody has run yet says what makes it, and that is all it can do
    assert code == 0 and said.out, said.err
