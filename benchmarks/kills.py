"""Kill -9 at random moments: python -m aptp_bench.benchmarks.kills --kills 50

A run of APTP and a suite of two rows, at scale smoke. Each is killed again and again while it goes on from where it was, and let end;
its records must be those of one that nothing stopped, to the last digit, and no half-written file may lie about.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from aptp_bench.cli.failures import outcome

METRICS = "metrics=[macs,parameters,fid,clip_score,pick_score,ssim]"  # nothing that is timed
SUITE = """title: Two rows, to be killed
dataset: coco
scale: smoke
rows:
  - {label: Norm, method: norm, budget: 0.7}
  - {label: LD-Pruner, method: ld_pruner, budget: 0.7}
"""
IN_A_ROW = 5  # kills of one run before it may end
POLL = 0.01  # seconds


@dataclass(frozen=True)
class Subject:
    """What is killed. words: of its command, but for its folders."""

    name: str
    words: tuple[str, ...]

    def command(self, folder: Path) -> list[str]:
        """The whole command in a folder of its own."""
        own = ["--set", METRICS, "--runs-dir", str(folder / "runs"), "--results-dir", str(folder / "results")]
        return ["aptp-bench", *self.words, *own]


def kills(
    number: Annotated[int, typer.Option("--kills", min=1, help="Of each: the run, and the suite.")] = 25,
    seed: Annotated[int, typer.Option(min=0, help="Of the moments.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Kill, run the same command again, and compare what it leaves with what an unbroken run left."""
    preload()
    with tempfile.TemporaryDirectory() as name:
        (suite := Path(name) / "suite.yaml").write_text(SUITE, encoding="utf-8")
        subjects = [
            Subject("run", ("run", "--method", "aptp", "--dataset", "coco", "--scale", "smoke")),
            Subject("suite", ("suite", str(suite))),
        ]
        found = [tried(subject, Path(name) / subject.name, number, random.Random(seed)) for subject in subjects]
    for row in found:
        line = "{name}: {kills} kills, {ends} ends, {equal} equal to the unbroken one ({seconds:.0f} s unbroken)"
        typer.echo(json.dumps(row) if as_json else line.format(**row))
    if any(row["equal"] < row["ends"] for row in found):
        raise typer.Exit(1)


def preload() -> None:
    """Import what takes seconds, so that a fork of this process is at work at once and is killed there."""
    import diffusers  # noqa: F401
    import sentence_transformers  # noqa: F401

    from aptp_bench.harness import run  # noqa: F401


def tried(subject: Subject, folder: Path, number: int, drawn: random.Random) -> dict[str, Any]:
    """Kill one subject `number` times in all; how often it ended, and how often as the unbroken one did."""
    started = time.perf_counter()
    code = ended(subject, folder / "whole")
    seconds = time.perf_counter() - started
    if code != 0:
        raise RuntimeError(f"{subject.name} ends with {code} though nothing kills it; see {folder / 'whole' / 'log'}")
    whole = left(folder / "whole")
    killed, ends, equal = 0, 0, 0
    while killed < number:
        place = folder / f"killed-{ends:03d}"
        moments = [drawn.uniform(0, 2 * seconds / IN_A_ROW) for _ in range(min(IN_A_ROW, number - killed))]
        killed += sum(ended(subject, place, moment) == -signal.SIGKILL for moment in moments)
        code = ended(subject, place)
        ends += 1
        equal += code == 0 and left(place) == whole
    return {"name": subject.name, "kills": killed, "ends": ends, "equal": equal, "seconds": seconds}


def ended(subject: Subject, folder: Path, after: float | None = None) -> int:
    """Carry the command out in a fork of this process, and kill it after so many seconds; its exit code, or minus the signal."""
    folder.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if not child:
        _become(subject.command(folder), folder / "log")
    until = time.monotonic() + (after if after is not None else float("inf"))
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            until = float("inf")
        time.sleep(POLL)


def _become(words: list[str], log: Path) -> None:
    """In a fork: the command, and nothing after it. What it prints goes to the log."""
    from aptp_bench.cli import app

    code = 1
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        code = outcome(lambda: app(words[1:], standalone_mode=False))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)  # no exit handler of the parent's runs in the child


def left(folder: Path) -> dict[str, Any]:
    """All that outlives the command: records without how they came about, files beside them, and what is half-written."""
    records = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("results/records/*")}
    for record in records.values():
        del record["how"]
    beside = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.glob("results/*/*")
        if "records" not in path.parts
    }
    return {"records": records, "beside": beside, "torn": sorted(map(str, folder.rglob("*.partial")))}


if __name__ == "__main__":
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    command.command()(kills)
    sys.exit(outcome(lambda: command(standalone_mode=False)))
