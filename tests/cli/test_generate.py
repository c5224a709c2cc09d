from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench.cli.failures import MEND
from aptp_bench.core.files import alone_in
from aptp_bench.generation.image_sets import Files
from aptp_bench.generation.images import read_image
from aptp_bench.harness.inputs import Materials
from aptp_bench.harness.run_folder import RunFolder
from aptp_bench.serving import serve

EVIL = "../../escaped"


@pytest.fixture
def a_run(finished: Any) -> str:
    """The folder of a finished run."""
    return str(finished("norm"))


def captions(folder: str) -> list[str]:
    return Materials.of(RunFolder.load(Path(folder)).recipe, torch.device("cpu")).captions("dataset")


def images(folder: Path, count: int) -> torch.Tensor:
    return Files.numbered(folder, count, "").read(range(count))


def test_a_runs_own_prompts_give_its_own_images(call, a_run, tmp_path):
    (tmp_path / "prompts.txt").write_text("\n\n".join(captions(a_run)) + "\n")
    code, out = call("generate", "--run", a_run, "--prompts", "prompts.txt", "--out", "drawn", "--json")
    rows = json.loads(out)["images"]
    assert code == 0 and [row["prompt"] for row in rows] == captions(a_run) and {r["expert"] for r in rows} == {0}
    assert torch.equal(images(tmp_path / "drawn", 3), images(RunFolder.load(Path(a_run)).images, 3))
    one = ("generate", "--run", a_run, "--exact", "--prompt", captions(a_run)[2], "--index", "2", "--out", "one")
    assert call(*one)[0] == 0
    assert call("generate", "--run", a_run, "--exact", "--prompts", "prompts.txt", "--out", "drawn")[0] == 0
    assert torch.equal(read_image(tmp_path / "one" / "000002.png"), read_image(tmp_path / "drawn" / "000002.png"))


def test_a_saved_pipeline_draws_the_same(call, a_run, tmp_path):
    words = ("--prompt", "a dog", "--prompt", "a cat", "--seed", "3", "--steps", "2", "--guidance", "3")
    assert call("generate", "--run", a_run, *words, "--out", "first", "--save", "pipe")[0] == 0
    assert call("generate", "--run", "pipe", *words, "--out", "second")[0] == 0
    assert torch.equal(images(tmp_path / "first", 2), images(tmp_path / "second", 2))
    assert call("generate", "--run", "pipe", "--save", "again")[1] == "pipeline: again\n"


def test_prompts_move_no_terminal(call, a_run):
    for words in (["generate", "--steps", "1"], ["route"]):
        code, out = call(*words, "--run", a_run, "--prompt", "a \x1b[2Jdog\nrm")
        assert code == 0 and "a \\x1b[2Jdog\\nrm\n" in out and "\x1b[2J" not in out


def test_what_was_killed_goes_on_and_another_request_is_drawn_anew(call, a_run, tmp_path, monkeypatch):
    words = ["generate", "--run", a_run, "--batch", "1", "--out", "drawn"]
    words += [word for i in range(5) for word in ("--prompt", f"a dog {i}")]
    drawn: list[int] = []
    write = serve.write_image

    def killed(folder: Path, number: int, image: torch.Tensor) -> None:
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(number)
        write(folder, number, image)

    monkeypatch.setattr(serve, "write_image", killed)
    assert call(*words)[0] == 130
    kept = (tmp_path / "drawn" / "000000.png").stat().st_mtime_ns
    monkeypatch.setattr(serve, "write_image", lambda *of: (drawn.append(of[1]), write(*of)))
    assert call(*words)[0] == 0
    assert drawn == [0, 1, 2, 3, 4] and (tmp_path / "drawn" / "000000.png").stat().st_mtime_ns == kept
    assert call(*words, "--seed", "9")[0] == 0 and drawn[5:] == [0, 1, 2, 3, 4]
    assert call(*words[:5], "--out", "whole", *words[7:], "--seed", "9")[0] == 0
    assert torch.equal(images(tmp_path / "drawn", 5), images(tmp_path / "whole", 5))


def test_images_of_another_request_are_not_passed_off_as_new(call, a_run, tmp_path, monkeypatch):
    words = ["generate", "--run", a_run, "--batch", "1", *(w for i in range(4) for w in ("--prompt", f"a dog {i}"))]
    assert call(*words, "--out", "drawn", "--seed", "8")[0] == 0
    write = serve.write_image

    def killed(folder: Path, number: int, image: torch.Tensor) -> None:
        if number == 1:
            raise KeyboardInterrupt
        write(folder, number, image)

    monkeypatch.setattr(serve, "write_image", killed)
    assert call(*words, "--out", "drawn", "--seed", "9")[0] == 130
    monkeypatch.setattr(serve, "write_image", write)
    assert call(*words, "--out", "drawn", "--seed", "9")[0] == 0
    assert call(*words, "--out", "whole", "--seed", "9")[0] == 0
    assert torch.equal(images(tmp_path / "drawn", 4), images(tmp_path / "whole", 4))


def test_what_others_left_is_not_replaced(call, a_run, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "prompts.json").write_text('["mine"]')
    assert call("generate", "--run", a_run, "--prompt", "a", "--out", "theirs")[0] == MEND
    assert call("generate", "--run", a_run, "--save", "pipe")[0] == 0
    (tmp_path / "pipe" / "notes.txt").write_text("mine")
    assert call("generate", "--run", a_run, "--save", "pipe")[0] == MEND and "notes.txt" in call.err
    before = sorted(tmp_path.rglob("*"))
    assert call("generate", "--run", a_run, "--prompt", "a", "--out", "new", "--save", "theirs")[0] == MEND
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "theirs" / "prompts.json").read_text() == '["mine"]' and (
        tmp_path / "pipe" / "notes.txt"
    ).is_file()


def test_what_prompts_say_names_no_file(call, a_run, tmp_path):
    before = {path.name for path in tmp_path.iterdir()}
    code, out = call("generate", "--run", a_run, "--prompt", EVIL, "--prompt", "/etc/x\ty", "--out", "in/drawn")
    assert code == 0 and f"000000.png: expert 0: {EVIL}" in out
    assert {path.name for path in tmp_path.iterdir()} == before | {"in"}
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"drawn"}
    assert {path.name for path in (tmp_path / "in" / "drawn").iterdir()} == {"000000.png", "000001.png", "prompts.json"}
    seed = RunFolder.load(Path(a_run)).recipe.seed
    said = json.loads((tmp_path / "in" / "drawn" / "prompts.json").read_text())
    assert [row["image"] for row in said["images"]] == ["000000.png", "000001.png"] and said["seed"] == seed
    assert said["images"][0]["prompt"] == EVIL and said["sampling"]["steps"] == 2


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--prompt", "a", "--run", "nowhere"], "run.json"),
        ([], "--prompt"),
        (["--prompt", "\u200b\u3000"], "is empty"),
        (["--prompt", "caf\udce9"], "no character"),  # what Python makes of an argument that is no UTF-8
        (["--prompts", "captions.csv"], "captions.csv"),
        (["--prompts", "gone.txt"], "--prompts"),
        (["--prompts", "empty.txt", "--save", "x"], "--prompt"),
        (["--prompt", "a", "--out", "full"], "--out"),
        (["--prompt", "a", "--out", "empty.txt"], "is a file"),
        (["--prompt", "a", "--steps", "0"], "0 steps"),
        (["--prompt", "a", "--steps", "1001"], "1000"),
        (["--prompt", "a", "--steps", "1" + "0" * 20], "1000"),
        (["--prompt", "a", "--device", "cpu:7"], "--device cpu"),
        (["--prompt", "a", "--guidance", "-1"], "not within 0 and 100"),
        (["--prompt", "a", "--guidance", "inf"], "not within 0 and 100"),
        (["--prompt", "a", "--guidance", "nan"], "not within 0 and 100"),
        (["--prompt", "a", "--seed", "-1"], "--seed"),
        (["--prompt", "a", "--batch", "0"], "batches of 0"),
        (["--prompt", "a", "--held", "0"], "--held"),
        (["--prompt", "a", "--dtype", "int8"], "--dtype"),
        (["--prompt", "a", "--device", "cuda:77"], "--device cpu"),
    ],
)
def test_bad_input_is_one_line_and_draws_nothing(call, a_run, tmp_path, words, line):
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    code, out = call("generate", *(words if "--run" in words else ["--run", a_run, *words]))
    assert code == MEND and line in call.err and call.err.count("\n") == 1 and out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_is_written_into_what_is_read(call, a_run, tmp_path):
    assert call("generate", "--run", a_run, "--save", "pipe")[0] == 0
    stage = RunFolder.load(Path(a_run)).mixture
    before = sorted(tmp_path.rglob("*"))
    for run, place in (
        ("pipe", "pipe/new"),
        ("./pipe", "pipe/unet/a/b"),
        (a_run, f"{a_run}/new"),
        (a_run, stage / "new"),
    ):
        for words in (["--prompt", "a", "--out", str(place)], ["--save", str(place)]):
            assert call("generate", "--run", run, *words)[0] == MEND
            assert "which is read; name another place with --" in call.err
    assert sorted(tmp_path.rglob("*")) == before and not (stage / "new").exists()
    assert call("generate", "--run", "pipe", "--save", "pipe")[0] == 0


def test_two_commands_do_not_fill_one_folder_at_once(call, a_run, tmp_path):
    words = ("generate", "--run", a_run, "--steps", "1", "--prompt", "a", "--out", "drawn")
    with alone_in(tmp_path / "drawn", "--out"):
        assert call(*words)[0] == MEND and "another command writes into drawn; wait for it" in call.err
        assert not any((tmp_path / "drawn").iterdir())
    assert call(*words)[0] == 0


def test_a_model_that_changed_is_refused(call, a_run, tiny):
    with torch.no_grad():
        bias = tiny.unet.conv_out.bias
        before = bias.clone()
        bias += 1
        try:
            code, _ = call("generate", "--run", a_run, "--prompt", "a")
        finally:
            bias.copy_(before)  # to the last bit, which taking one off again is not
    assert code == MEND and "other weights" in call.err


def test_what_cannot_be_done_is_said_before_anything_is_drawn(call, a_run, tmp_path):
    assert call("generate", "--run", a_run, "--number", str(10**12))[0] == MEND
    assert call("generate", "--run", a_run, "--prompt", "a dog", "--out", "one", "--save", "./one")[0] == MEND
    assert not (tmp_path / "one").exists()
