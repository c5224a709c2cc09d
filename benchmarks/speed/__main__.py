"""Measure a whole speed table in one go: python -m aptp_bench.benchmarks.speed sd21

Rows and ways of running are in the YAML files beside this one, or in one of your own. Run it again to go on after a kill.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from aptp_bench.cli.failures import outcome
from aptp_bench.cli.options import Device


def speed(
    name: Annotated[str, typer.Argument(metavar="NAME", help="sd21, mini, or a YAML file.")],
    device: Device = "auto",
    results_dir: Annotated[Path, typer.Option(help="Where records and figures go.")] = Path("results"),
    only: Annotated[list[str] | None, typer.Option(help="Only the row of this label; may be given again.")] = None,
    setup: Annotated[list[int] | None, typer.Option(help="Only the n-th way of running, from 1; repeatable.")] = None,
    repeats: Annotated[int | None, typer.Option(min=2, help="Timed calls, instead of the file's.")] = None,
    images: Annotated[int | None, typer.Option(min=0, help="Timed images, instead of the file's.")] = None,
    warmup: Annotated[int | None, typer.Option(min=0, help="Untimed calls, instead of the file's.")] = None,
) -> None:
    """Every network of a speed table on this device: a record each, a table, and the plot of MACs against time."""
    from aptp_bench.cli.speed_view import show_speed
    from aptp_bench.core import provenance, threads
    from aptp_bench.core.files import check_writable
    from aptp_bench.core.progress import reporter
    from aptp_bench.harness.rows import raise_failures
    from aptp_bench.models.weights import quiet
    from aptp_bench.profiling.bench import Site, carry_out
    from aptp_bench.profiling.speed_suite import Campaign
    from aptp_bench.reporting.figures.speed import draw

    path = Path(name) if Path(name).is_file() else Path(str(files("aptp_bench.benchmarks.speed") / f"{name}.yaml"))
    asked = Campaign.load(path)
    given = {"warmup": warmup, "repeats": repeats, "images": images}
    counts = asked.protocol.model_copy(update={key: value for key, value in given.items() if value is not None})
    ways = tuple(way for place, way in enumerate(asked.setups, start=1) if not setup or place in setup)
    asked = asked.model_copy(update={"protocol": counts, "setups": ways})
    check_writable(results_dir, "--results-dir")
    threads.use_threads()
    command = provenance.command_line(["python", "-m", "aptp_bench.benchmarks.speed"], sys.argv[1:])
    with quiet():
        site = Site(provenance.device(device), results_dir, reporter(), command)
        found, failures = carry_out(asked, site, only or ())
    draw(found, asked.title, results_dir)
    show_speed(asked.title, found)
    raise_failures(failures, len(only or asked.rows))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(speed)
    sys.exit(outcome(lambda: app(standalone_mode=False)))
