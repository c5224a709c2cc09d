"""Bad input: one line with the fix, exit code 2, no traceback, nothing half-written."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from aptp_bench import assets
from aptp_bench.cli.failures import MEND, STOPPED, outcome
from aptp_bench.errors import ConfigError, DataError
from aptp_bench.harness import run

RUN = ["run", "--method", "dense", "--dataset", "coco", "--scale", "smoke"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run", "--method", "atpt", "--dataset", "coco"], "unknown method 'atpt'; did you mean 'aptp'?"),
        (["route", "--run", "", "--prompt", "a cat"], "--run is empty"),
        (["evaluate", "images", "--captions", "c.txt", "--reals="], "--reals= is empty"),
        (["evaluate", "x", "--captions", "c.txt", "--metrics", "fid,fid"], "names one twice"),
        (["evaluate", "x", "--captions", "c.txt", "--metrics", "fid,,"], "name each metric once"),
        (["tables", " "], "an argument is empty"),
        (["run", "--method", "aptp"], "Missing option '--dataset' (see: "),
        ([*RUN, "--budgt", "0.5"], "--budget"),
        ([*RUN, "--budget", "much"], "Invalid value for '--budget'"),
        (["frun"], "No such command 'frun'"),
        ([*RUN[:-1], "hugh"], "--scale with one of mini, smoke, paper"),
        ([*RUN, "--budget", "1.7"], "use --budget with 0 < budget <= 1"),
        ([*RUN, "--set", "sampling.stepps=3"], "did you mean sampling.steps"),
        ([*RUN, "--weights", "random", "--device", "cuda:77"], "use --device cpu"),
        ([*RUN, "--weights", "nowhere/at/all"], "give an existing folder or a hub id"),
        (["profile", "--model", "sd22"], "unknown model 'sd22'"),
        (["profile", "--model", "mini-sd", "--mixture", "nowhere"], "mixture.json is missing"),
        (["profile", "--method", "norm", "--mixture", "x"], "exclude each other"),
        (["profile", "--run", "nowhere"], "nowhere is no run"),
        (["profile", "--set", "order=2"], "name the method with --method"),
        (["profile", "--method", "norm", "--set", "ordre=2"], "did you mean order"),
        (["profile", "--method", "norm", "--budget", "1.5"], "0 < budget <= 1"),
        (["profile", "--resolution", "100"], "use --resolution"),
        (["profile", "--on", "A10"], "did you mean 'A100'"),
        (["profile", "--latency", "call", "--dtype", "int8"], "unknown type 'int8'"),
        (["profile", "--plot", "x.pdf"], ".png and .svg"),
        (["profile", "--plot", "nowhere/x.png"], "is no folder"),
        (["suite", "aptp_7", "--only", "RAPHAEL"], "no row 'RAPHAEL' that can be run: another system"),
        (["suite", "ld_pruner_3", "--scale", "paper"], "can be run at scale paper: the paper names neither"),
        (["suite", "mini/placement", "--scale", "paper"], "is for scale mini alone; omit --scale paper"),
        (["evaluate", "nowhere", "--captions", "c.txt"], "there is no folder nowhere"),
        ([*RUN, "--dry-run", "--set", "sampling.steps=5000"], "1000"),
        ([*RUN, "--dry-run", "--set", "backbones.cmmd=mini-inception"], "not cmmd"),
        (["evaluate", "x", "--captions", "c.txt", "--set", "backbones.inception=mini-pick"], "not inception"),
        (["evaluate", "x", "--captions", "c.txt", "--set", "scale=paper"], "aptp-bench run "),
        (["check", "norm", "--set", "x=1"], "aptp-bench methods norm --all"),
        (["profile", "--budget", "0.5"], "name the method with --method"),
        (["profile", "--macs", "aptp"], "name the method with --method"),
        (["profile", "--seed", "1"], "name the method with --method"),
        ([*RUN, "--device", "cpu:7"], "use --device cpu"),
        (["evaluate", "x", "--captions", "c.txt", "--reals", "a", "--dataset", "coco"], "leave one out"),
    ],
)
def test_one_line_with_the_fix(call, tmp_path, words, line):
    code, _ = call(*words)
    assert code == MEND
    assert line in call.err and call.err.startswith("error: ") and call.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_results_folder_is_refused_before_any_work(call, tmp_path):
    (tmp_path / "results").write_text("a file")
    assert call(*RUN, "--weights", "random", "--results-dir", "results")[0] == MEND
    assert "choose another folder with --results-dir" in call.err
    assert [p.name for p in tmp_path.iterdir()] == ["results"]
    assert call(*RUN, "--weights", "random", "--results-dir", "elsewhere", "--runs-dir", "results/runs")[0] == MEND
    assert "choose another folder with --runs-dir" in call.err


def test_missing_weights_say_how_to_get_them(call, tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "ROOT", tmp_path)
    assert call(*RUN)[0] == MEND
    assert "has no weights" in call.err and "mini_world" in call.err and call.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_corrupt_weights_are_named(call, tmp_path, tiny):
    tiny.save_pretrained(tmp_path / "weights")
    (tmp_path / "weights" / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"\0" * 100)
    assert call(*RUN, "--weights", "weights")[0] == MEND
    assert "unet" in call.err and "fetch" in call.err and call.err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["weights"]


def test_a_stage_that_changed_is_refused_with_the_fix(call, tmp_path, tiny_model):
    words = [*RUN, "--model", tiny_model, "--set", "metrics=[macs]", "--set", "sampling.steps=1"]
    words += ["--set", "sizes.val=2", "--set", "sizes.partiprompts=0", "--set", "resolution.measure=8"]
    assert call(*words)[0] == 0
    (image,) = tmp_path.glob("runs/generate-*/images/000001.png")
    image.write_bytes(b"other")
    assert call(*words)[0] == MEND
    assert f"rm -r {image.parents[1].relative_to(tmp_path)}" in call.err


def test_our_errors_are_one_line_and_bugs_keep_their_traceback(capfd):
    def fails(error: BaseException) -> Callable[[], Any]:
        def command() -> None:
            raise error

        return command

    assert outcome(fails(DataError("first\nsecond; do that"))) == MEND
    assert capfd.readouterr().err == "error: first second; do that\n"
    assert outcome(fails(KeyboardInterrupt())) == STOPPED
    assert capfd.readouterr().err == "stopped; run the same command to go on\n"
    assert outcome(fails(OSError(errno.ENOSPC, "No space left on device", "runs/x"))) == MEND
    assert "runs/x: No space left" in capfd.readouterr().err
    for bug in (ZeroDivisionError(), OSError(errno.EBADF, "Bad file descriptor")):
        with pytest.raises(type(bug)):
            outcome(fails(bug))


def test_an_error_moves_no_terminal(capfd):
    def refused():
        raise ConfigError("'\x1b[2J' is no name")

    assert outcome(refused) == MEND
    assert capfd.readouterr().err == "error: '\\x1b[2J' is no name\n"


def test_the_exit_code_is_the_commands():
    assert outcome(lambda: None) == 0
    assert outcome(lambda: 1) == 1
    assert outcome(lambda: STOPPED) == STOPPED


def test_ctrl_c_says_how_to_go_on(call, monkeypatch):
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_each", interrupted)
    assert call(*RUN, "--weights", "random")[0] == STOPPED and call.err == "stopped; run the same command to go on\n"


@pytest.mark.parametrize(
    ("err", "said"),
    [
        (MemoryError(), "not enough memory"),
        (
            type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0"),
            "20.00 GiB",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 512 bytes"), "512 bytes"),
    ],
)
def test_too_little_memory_is_one_line_with_what_to_make_smaller(err: Exception, said: str, capfd: Any) -> None:
    def fails() -> None:
        raise err

    assert outcome(fails) == MEND
    line = capfd.readouterr().err
    assert said in line and "sampling.batch=1" in line and line.count("\n") == 1
