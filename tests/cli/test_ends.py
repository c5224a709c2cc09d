"""How a process of the command line ends: told to stop, with nobody to read, or nowhere to be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aptp_bench.cli.failures import MEND, UNREAD
from aptp_bench.cli.interrupts import STOPPED

COMMAND = f"{sys.executable} -m aptp_bench"
# stops itself where a module is imported: of the commands, or one that they import in their turn
WHILE_IMPORTING = """
import os, signal, sys
class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Stop())
sys.argv = ["aptp-bench", "profile", "--model", "mini"]
from aptp_bench.cli import main
main()
"""


def heard() -> None:
    """In a child: tests may be a background job themselves, which hears no ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", ["aptp_bench.cli.commands", "typer", "pydantic", "torch", "torch.nn"])
def test_ctrl_c_while_a_module_is_imported_is_one_line(name: str, tmp_path: Path) -> None:
    words = [sys.executable, "-c", WHILE_IMPORTING.format(name=name)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, preexec_fn=heard)
    assert done.returncode == STOPPED and done.stderr.count("\n") == 1 and not done.stdout


def test_ctrl_c_otherwise_is_an_interrupt_and_a_background_job_hears_none() -> None:
    code = """
import os, signal, sys
from aptp_bench.cli import interrupts
interrupts.heard()
try:
    os.kill(os.getpid(), signal.SIGINT)
    print("not heard")
except KeyboardInterrupt:
    print("heard")
"""
    for before, said in ((heard, "heard"), (lambda: signal.signal(signal.SIGINT, signal.SIG_IGN), "not heard")):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=before)
        assert done.stdout.strip() == said, done.stderr


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full", "2>&- >&-", ">&- <&-"])
def test_a_stream_that_takes_nothing_changes_no_exit_code(where: str, tmp_path: Path) -> None:
    assert shell(f"{COMMAND} nonsense {where}", tmp_path).returncode == MEND
    assert shell(f"{COMMAND} --version {where}", tmp_path).returncode == 0
    assert not list(tmp_path.iterdir())


def test_a_full_stdout_is_an_error_in_one_line(tmp_path: Path) -> None:
    for words in ("--version", "metrics", "metrics --json"):
        done = shell(f"{COMMAND} {words} >/dev/full", tmp_path)
        assert done.returncode == MEND and done.stderr.count("\n") == 1, words


@pytest.mark.parametrize("words", ["metrics", "metrics --json"])
def test_where_nobody_reads_on_it_ends_as_others_do(words: str, tmp_path: Path) -> None:
    done = shell(f"{COMMAND} {words} | true; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert done.stdout.strip() == str(UNREAD) and not done.stderr


@pytest.mark.parametrize(
    "words",
    ["plan aptp_1b --scale paper", "plot", "run --method norm --dataset coco --dry-run", "generate --run x --prompt a"],
)
def test_a_folder_that_is_gone_is_named(words: str, tmp_path: Path) -> None:
    done = shell(f"mkdir gone; cd gone; rmdir ../gone; {COMMAND} {words}", tmp_path)
    assert done.returncode == MEND and "gone" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


def test_a_folder_that_goes_while_a_command_runs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from aptp_bench.cli.failures import outcome

    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert outcome(lambda: Path("x").absolute()) == MEND and "gone" in capfd.readouterr().err
    assert not os.path.exists(tmp_path / "gone")
