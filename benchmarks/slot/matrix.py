"""The job `matrix`: every method of the mini world at three seeds, one seed of one method a piece.

What comes back is the record and, in float16, the features that its scores come from; images and weights are let go as
soon as they are measured.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

from safetensors.torch import save_file

from aptp_bench.benchmarks.slot import job
from aptp_bench.benchmarks.slot.job import Facts, Ledger, show_rows
from aptp_bench.core.files import write_whole
from aptp_bench.core.slot import Piece
from aptp_bench.core.store import Store
from aptp_bench.core.tensors import read_tensors
from aptp_bench.harness import run_folder, session
from aptp_bench.harness.suite import Run, Suite
from aptp_bench.records import Record

ORDER = ("mini/coco_0.5", "mini/coco_0.64", "mini/cc3m_0.5")
HEAVY = ("prune", "finetune", "generate", "generate-prompts")
LEAST = ("sizes.train=64", "sizes.val=32", "sizes.partiprompts=8", "finetune.steps=2", "sampling.steps=2")
FIRST, METHODS = 180.0, ("dense", "norm")  # seconds a run, until one was made; methods of the smallest trial


class Job(job.Job):
    """Records and samples under `out`, as a run publishes them; features and what runs took under `out`/matrix."""

    def __init__(self, place: job.Place) -> None:
        super().__init__(place)
        folder = place.out / "matrix" / ("smallest" if place.smallest else "mini")
        self.ledger, self.features = Ledger(folder), folder / "features"
        self.work = folder / "work"  # stages; runs share training pairs and the features of real images

    def pieces(self) -> Sequence[Piece]:
        """All seeds of a suite's rows, seed by seed, so that a slot that ends early has compared what it has."""
        found = []
        for name in ORDER[: 1 if self.place.smallest else None]:
            for run in sorted(self._runs(name), key=lambda run: run.seed):
                guess = 60.0 if self.place.smallest else FIRST
                measure = partial(self._measure, run)
                found.append(self.ledger.piece(f"{name}, {run.name}", run.recipe.method, guess, measure))
        return found

    def show(self) -> None:
        """Seconds and the metrics of quality, a line a run."""
        metrics = ("fid", "clip_score", "cmmd", "pick_score")
        rows = [
            [
                row["piece"],
                f"{row['seconds']:.0f}",
                *(f"{row['results'].get(name, float('nan')):.3f}" for name in metrics),
            ]
            for row in self.ledger.rows()
        ]
        show_rows(f"matrix on {self.place.device}", ["run", "s", *metrics], rows)

    @cached_property
    def store(self) -> Store:
        """The stages."""
        return session.open_store(self.work, self.place.progress)

    @cached_property
    def carry(self) -> session.Carrier:
        """Carries out one recipe after the other, materials loaded once."""
        return session.carrier(self.store, str(self.place.device))

    def _runs(self, name: str) -> list[Run]:
        if not self.place.smallest:
            return Suite.load(name).runs()
        few = Suite.load(name).model_copy(update={"scale": "smoke", "seeds": (0,)})
        return [run for run in few.runs(LEAST) if run.recipe.method in METHODS]

    def _measure(self, run: Run) -> Facts:
        before = set(self.work.glob("features-*"))
        record = self.carry(run.recipe)
        if not self.place.smallest:
            session.publish(record, self.store, self.place.out)
        for folder in set(self.work.glob("features-*")) - before:
            self._keep(folder, record)
        made = run_folder.RunFolder.load(run_folder.place(record, self.work))
        for stage in HEAVY:
            if stage in made.stages and record.what.method != "dense":
                shutil.rmtree(made.stages[stage], ignore_errors=True)
        results = {name: each.value for name, each in record.results.items()}
        return {"record": run_folder.place(record, Path()).name, "results": results}

    def _keep(self, features: Path, record: Record) -> None:
        """A set's features in float16, under the names of the run and the network."""
        self.features.mkdir(parents=True, exist_ok=True)
        halves = {name: tensor.half().contiguous() for name, tensor in read_tensors(features).items()}
        name = f"{run_folder.place(record, Path()).name}-{features.name}.safetensors"
        write_whole(self.features / name, lambda aside: save_file(halves, aside))
