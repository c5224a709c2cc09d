"""One job that fits a slot of so many seconds: python -m aptp_bench.benchmarks.slot speed --seconds 540 --out results

A job is made of pieces. Each is written whole as soon as it is done, none is begun that would not end in time, and the
same command goes on where the last one stopped. --smallest tries the whole job on any machine, --plan only says what
would be done and how long it should take.
"""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from aptp_bench.cli.failures import outcome
from aptp_bench.cli.options import Device


class Job(str, Enum):
    """What there is to do."""

    speed = "speed"


def slot(
    job: Annotated[Job, typer.Argument(help="speed: the table of SD 2.1's pruned networks on a GPU.")],
    seconds: Annotated[float, typer.Option(min=1, help="How long the slot is.")] = 540.0,
    out: Annotated[Path, typer.Option(help="Where results go, and where earlier ones are looked for.")] = Path(
        "results"
    ),
    device: Device = "auto",
    smallest: Annotated[bool, typer.Option(help="The same code on the least work: a trial of the job.")] = False,
    plan: Annotated[bool, typer.Option(help="Only print the pieces and their predicted seconds.")] = False,
    on: Annotated[str, typer.Option(help="Of --plan: the device of the table that is predicted for.")] = "H100",
) -> None:
    """Do as much of a job as fits the slot; the same command does the rest later."""
    from aptp_bench.benchmarks.slot import speed
    from aptp_bench.core import provenance, threads
    from aptp_bench.core.files import check_writable
    from aptp_bench.core.progress import reporter
    from aptp_bench.core.slot import Slot
    from aptp_bench.models.weights import quiet
    from aptp_bench.profiling.bench import Site

    box = Slot(seconds)
    threads.use_threads()
    if plan:
        return speed.show_plan(smallest, on, seconds)
    check_writable(out, "--out")
    command = provenance.command_line(["python", "-m", "aptp_bench.benchmarks.slot"], sys.argv[1:])
    with quiet():
        return speed.do(smallest, Site(provenance.device(device), out, reporter(), command, box))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(slot)
    sys.exit(outcome(lambda: app(standalone_mode=False)))
