"""Choose a speed table's architectures beforehand: python -m aptp_bench.benchmarks.speed.architectures sd21 --out FOLDER

Each method prunes the model on noise, at a small size where it has to run the network, and what it keeps is written
down without weights. The table that names the folder then searches nothing on the machine that it measures.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from aptp_bench.budget import Budget
from aptp_bench.cli.failures import outcome
from aptp_bench.contracts.method import Job
from aptp_bench.core import threads
from aptp_bench.core.progress import Progress, reporter
from aptp_bench.generation.sampling import parts_of
from aptp_bench.harness.rows import chosen as asked_for
from aptp_bench.methods.ld_pruner.config import LDPrunerConfig
from aptp_bench.methods.ld_pruner.operators import operators, savings, stand_ins
from aptp_bench.methods.ld_pruner.pruning import chosen, cuts
from aptp_bench.methods.ld_pruner.scoring import scored
from aptp_bench.models.mixture import Mixture
from aptp_bench.models.stable_diffusion import pipeline
from aptp_bench.models.weights import quiet
from aptp_bench.profiling import targets
from aptp_bench.profiling.manifest import Manifest, filename
from aptp_bench.profiling.speed_suite import Campaign, Row
from aptp_bench.profiling.targets import Subject
from aptp_bench.pruning.macs import example_inputs
from aptp_bench.pruning.surgery import clone
from aptp_bench.pruning.unets import tokens_of

SMALL = 8  # height and width of the latents that methods run the network on


def architectures(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A speed table, by name or file.")],
    out: Annotated[Path, typer.Option(help="The folder that gets a manifest a row.")],
    only: Annotated[list[str] | None, typer.Option(help="Only the row of this label; may be given again.")] = None,
) -> None:
    """Prune the table's model by every row and write down what is kept; a row whose manifest is there is left alone."""
    threads.use_threads()
    path = Path(name) if Path(name).is_file() else Path(str(files("aptp_bench.benchmarks.speed") / f"{name}.yaml"))
    asked, progress = Campaign.load(path), reporter()
    waiting = [row for row in asked_for(asked.rows, only or ()) if not (out / filename(row.label)).is_file()]
    with quiet():
        teacher = targets.model(asked.model).load(asked.weights) if waiting else None
        for row in waiting:
            progress.say(f"{row.label}: {Manifest.of(_kept(asked, row, teacher, progress)).save(out)}")


def _kept(asked: Campaign, row: Row, teacher: Any, progress: Progress) -> Subject:
    """What the row's method keeps of the teacher."""
    if row.method == "dense":
        return targets.dense(teacher.unet, row.label)
    wanted = targets.Asked(row.method, row.options, Budget.of(row.budget, asked.macs), asked.seed, row.label)
    with tempfile.TemporaryDirectory(prefix="aptp-bench-", ignore_cleanup_errors=True) as scratch:
        if row.method == "ld_pruner":
            return _ld_pruner(wanted, teacher, Path(scratch), progress)
        return targets.pruned(wanted, teacher, Path(scratch), torch.device("cpu"), progress, edge=SMALL)


def _ld_pruner(asked: targets.Asked, teacher: Any, scratch: Path, progress: Progress) -> Subject:
    """LD-Pruner's own scores and choice, its latents being small ones; MACs are those of the model's own size."""
    unet, config = teacher.unet, LDPrunerConfig(**asked.settings)
    among = operators(unet, config.candidates, config.resnets)
    dense, saved = savings(unet, among, example_inputs(unet, tokens=tokens_of(teacher)), asked.budget.convention)
    twin: Any = clone(unet, {p: p.detach() for p in unet.parameters()})
    twin.register_to_config(sample_size=SMALL)
    small = pipeline(twin, **parts_of(teacher))
    train = targets.noise_pairs(small, asked.seed)
    job = Job(small, train, asked.budget, asked.seed, torch.device("cpu"), scratch, progress, "mini")
    scores = scored(job, config, among).scores
    steps = cuts(sorted(among, key=lambda each: scores[each.path]), saved, dense, thrifty=True)
    modules = {
        at: module
        for each in chosen(list(steps), asked.budget).operators
        for at, module in stand_ins(unet, each).items()
    }
    mixture = Mixture.of_one(clone(unet, {p: p.detach() for p in unet.parameters()}, modules))
    settings = config.model_dump(mode="json")
    return Subject(
        asked.label, mixture, torch.ones(1, dtype=torch.float64), targets.PRUNED, asked.method, settings, asked.budget
    )


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(architectures)
    sys.exit(outcome(lambda: app(standalone_mode=False)))
