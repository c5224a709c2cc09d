"""One job that fits a slot of so many seconds: python -m aptp_bench.benchmarks.slot speed --seconds 540 --out results

A job is made of pieces. Each is written whole as soon as it is done, none is begun that would not end in time, and the
same command goes on where the last one stopped. --smallest tries the whole job on any machine, --plan only says what
would be done and how long it should take.
"""

from __future__ import annotations

import sys
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from aptp_bench.cli.failures import outcome
from aptp_bench.cli.options import Device


class Name(str, Enum):
    """What there is to do; a module of this package each."""

    speed = "speed"
    teacher = "teacher"
    matrix = "matrix"
    memory = "memory"
    serving = "serving"


def slot(
    name: Annotated[
        Name,
        typer.Argument(
            metavar="JOB",
            help="speed: SD 2.1's pruned networks, timed. teacher: the mini world's networks, trained from nothing. matrix: every "
            "method at three seeds. memory: the largest batches of SD 2.1. serving: eight experts against one network.",
        ),
    ],
    seconds: Annotated[float, typer.Option(min=1, help="How long the slot is.")] = 540.0,
    out: Annotated[Path, typer.Option(help="Where results go, and where earlier ones are looked for.")] = Path(
        "results"
    ),
    device: Device = "auto",
    smallest: Annotated[bool, typer.Option(help="The same code on the least work: a trial of the job.")] = False,
    plan: Annotated[bool, typer.Option(help="Only print the pieces and the seconds they should take.")] = False,
    on: Annotated[str, typer.Option(help="Of --plan: the device of the table that is predicted for.")] = "H100",
) -> None:
    """Do as much of a job as fits the slot; the same command does the rest later."""
    from aptp_bench.benchmarks.slot.job import Job, Place, show_rows
    from aptp_bench.core import provenance, threads
    from aptp_bench.core.files import check_writable
    from aptp_bench.core.progress import reporter
    from aptp_bench.core.slot import Slot, work_through
    from aptp_bench.models.weights import quiet

    box = Slot(seconds)
    threads.use_threads()
    check_writable(out, "--out")
    command = provenance.command_line(["python", "-m", "aptp_bench.benchmarks.slot"], sys.argv[1:])
    there = provenance.device("cpu" if plan else device)
    with quiet():
        place = Place(there, out, reporter(), command, smallest, on if plan else None)
        job: Job = import_module(f"aptp_bench.benchmarks.slot.{name.value}").Job(place)
        if plan:
            asked = [(piece.name, piece.expected()) for piece in job.pieces()]
            rows, total = [], 0.0
            for what, expected in asked:
                total += expected
                rows.append((what, f"{expected:.0f}", f"{total:.0f}", "yes" if total <= seconds else ""))
            return show_rows(f"{name.value} on {on}", ["piece", "predicted, s", "in all, s", "in the first slot"], rows)
        left = work_through(job.pieces(), box, place.progress)
        job.show()
    typer.echo(f"left for the next slot: {'; '.join(piece.name for piece in left) or 'nothing'}")
    typer.echo(f"{max(0.0, box.left):.0f} s of the slot were not used")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(slot)
    sys.exit(outcome(lambda: app(standalone_mode=False)))
