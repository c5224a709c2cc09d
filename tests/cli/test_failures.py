"""Bad input: one line with the fix, exit code 2, no traceback, nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench.cli import app
from aptp_bench.cli.failures import MEND, STOPPED, outcome
from aptp_bench.errors import DataError
from aptp_bench.images import write_images

RUN = ["run", "--method", "dense", "--dataset", "coco", "--scale", "smoke"]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> Callable[..., tuple[int, str]]:
    """call(*words) -> (exit code, stderr) of a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def made(*words: str) -> tuple[int, str]:
        capfd.readouterr()
        code = outcome(lambda: app(list(words), standalone_mode=False))
        return code, capfd.readouterr().err

    return made


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run", "--method", "atpt", "--dataset", "coco"], "unknown method 'atpt'; did you mean 'aptp'?"),
        (["run", "--method", "aptp", "--dataset", "koko"], "unknown dataset 'koko'"),
        (["run", "--method", "aptp"], "Missing option '--dataset' (see: "),
        ([*RUN, "--budgt", "0.5"], "--budget"),
        ([*RUN, "--budget", "much"], "Invalid value for '--budget'"),
        (["frun"], "No such command 'frun'"),
        ([*RUN[:-1], "hugh"], "--scale with one of mini, smoke, paper"),
        ([*RUN, "--budget", "1.7"], "use --budget with 0 < budget <= 1"),
        ([*RUN, "--macs", "flops"], "use --macs with one of exact, aptp, modules"),
        ([*RUN, "--set", "sampling.stepps=3"], "did you mean sampling.steps"),
        ([*RUN, "--set", "sampling.steps"], "--set takes key=value"),
        ([*RUN, "--weights", "random", "--device", "cuda:77"], "use --device cpu"),
        ([*RUN, "--weights", "nowhere/at/all"], "give an existing folder or a hub id"),
        ([*RUN, "--model", "sd21"], "use --scale paper"),
        (["profile", "--model", "sd22"], "unknown model 'sd22'"),
        (["profile", "--model", "mini-sd", "--mixture", "nowhere"], "mixture.json is missing"),
        (["methods", "atpt"], "did you mean 'aptp'?"),
        (["evaluate", "nowhere", "--captions", "c.txt"], "there is no folder nowhere"),
        (["evaluate", "x", "--captions", "c.txt", "--reals", "a", "--dataset", "coco"], "leave one out"),
    ],
)
def test_one_line_with_the_fix(call, tmp_path, words, line):
    code, said = call(*words)
    assert code == MEND
    assert line in said and said.startswith("error: ") and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_results_folder_is_refused_before_any_work(call, tmp_path):
    (tmp_path / "results").write_text("a file")
    code, said = call(*RUN, "--weights", "random", "--results-dir", "results")
    assert code == MEND and "choose another folder with --results-dir" in said
    assert [p.name for p in tmp_path.iterdir()] == ["results"]
    code, said = call(*RUN, "--weights", "random", "--results-dir", "elsewhere", "--runs-dir", "results/runs")
    assert code == MEND and "choose another folder with --runs-dir" in said


def test_missing_weights_say_how_to_get_them(call, tmp_path, monkeypatch):
    from aptp_bench import assets

    monkeypatch.setattr(assets, "ROOT", tmp_path)
    code, said = call(*RUN)
    assert code == MEND and "has no weights" in said and "mini_world" in said and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_corrupt_weights_are_named(call, tmp_path, tiny):
    tiny.save_pretrained(tmp_path / "weights")
    (tmp_path / "weights" / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"\0" * 100)
    code, said = call(*RUN, "--weights", "weights")
    assert code == MEND and "unet" in said and "fetch" in said and said.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["weights"]


def test_a_folder_of_images_that_do_not_fit_their_captions(call, tmp_path):
    write_images(tmp_path / "images", torch.zeros(3, 32, 32, 3, dtype=torch.uint8))
    (tmp_path / "captions.txt").write_text("one\ntwo\n")
    code, said = call("evaluate", "images", "--captions", "captions.txt")
    assert code == MEND and "2 captions for 3 images" in said and said.count("\n") == 1


def test_a_broken_image_is_named(call, tmp_path, monkeypatch):
    from aptp_bench import assets
    from aptp_bench.models.inception import MiniInception

    MiniInception({"subject": 5}, width=16).save(tmp_path / "assets" / "inception")
    monkeypatch.setattr(assets, "ROOT", tmp_path / "assets")
    write_images(tmp_path / "images", torch.zeros(3, 32, 32, 3, dtype=torch.uint8))
    (tmp_path / "images" / "000001.png").write_bytes(b"\x89PNG broken")
    (tmp_path / "captions.txt").write_text("one\ntwo\nthree\n")
    code, said = call("evaluate", "images", "--captions", "captions.txt")
    assert code == MEND and "000001.png is broken" in said and said.count("\n") == 1


def test_a_stage_that_changed_is_refused_with_the_fix(call, tmp_path, tiny_model):
    words = [*RUN, "--model", tiny_model, "--set", "metrics=[macs]", "--set", "sampling.steps=1"]
    words += ["--set", "sizes.val=2", "--set", "sizes.partiprompts=0", "--set", "resolution.measure=8"]
    assert call(*words)[0] == 0
    (image,) = tmp_path.glob("runs/generate-*/images/000001.png")
    image.write_bytes(b"other")
    code, said = call(*words)
    assert code == MEND and f"rm -r {image.parents[1].relative_to(tmp_path)}" in said


def test_our_errors_are_one_line_and_bugs_keep_their_traceback(capfd):
    def fails(error: BaseException) -> Callable[[], Any]:
        def command() -> None:
            raise error

        return command

    assert outcome(fails(DataError("first\nsecond; do that"))) == MEND
    assert capfd.readouterr().err == "error: first second; do that\n"
    assert outcome(fails(KeyboardInterrupt())) == STOPPED
    assert capfd.readouterr().err == "stopped; run the same command to go on\n"
    with pytest.raises(ZeroDivisionError):
        outcome(fails(ZeroDivisionError()))


def test_the_exit_code_is_the_commands():
    assert outcome(lambda: None) == 0
    assert outcome(lambda: 1) == 1
    assert outcome(lambda: STOPPED) == STOPPED


def test_ctrl_c_says_how_to_go_on(call, monkeypatch):
    from aptp_bench import run

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_each", interrupted)
    assert call(*RUN, "--weights", "random") == (STOPPED, "stopped; run the same command to go on\n")
