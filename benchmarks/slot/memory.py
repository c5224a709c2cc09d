"""The job `memory`: what gates cost in a training step, and the largest batches of fine-tuning and search that one card holds.

Steps are those of the harness itself, on noise at 256 pixels in bfloat16. Peaks are the CUDA allocator's, weights and
optimiser included; on a CPU the bytes of tensors alive at once. Predicted is a straight line through the two smallest
batches of the same work: what is paid once, and what each sample adds.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from aptp_bench import registry
from aptp_bench.benchmarks.slot import job
from aptp_bench.benchmarks.slot.job import Facts, Ledger, show_rows
from aptp_bench.benchmarks.student import Student
from aptp_bench.budget import Budget
from aptp_bench.contracts.method import Job as Pruning
from aptp_bench.core.living import LiveBytes
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.settings import FinetuneConfig
from aptp_bench.core.slot import Piece
from aptp_bench.models.family import RANDOM
from aptp_bench.models.mixture import Mixture
from aptp_bench.profiling import targets
from aptp_bench.profiling.memory import peak_allocated
from aptp_bench.profiling.timing import alternately
from aptp_bench.training.finetune import finetune
from aptp_bench.training.latents import Pairs

BATCHES, FEW = (8, 16, 32, 64, 128, 256), (8, 12)
STEPS, ROUNDS = 3, 20
GIB = 1 << 30
WORK = ("fine-tuning", "search")


class Job(job.Job):
    """Facts under `out`/memory, a file a piece."""

    def __init__(self, place: job.Place) -> None:
        super().__init__(place)
        self.ledger = Ledger(place.out / "memory" / ("mini" if place.smallest else "sd21"))
        self.kind = targets.model("mini" if place.smallest else "sd21")
        self.batches = FEW if place.smallest else BATCHES

    def pieces(self) -> Sequence[Piece]:
        """Gates first, then from the smallest batch on, without gradient checkpointing and with it."""
        steps = [
            self.ledger.piece(_name(work, saving, size), work, 40.0, self._step(work, saving, size))
            for saving in (False, True)
            for size in self.batches
            for work in WORK
        ]
        return [self.ledger.piece("gates", "gates", 60.0, self._gates), *steps]

    def show(self) -> None:
        """Peaks and seconds a step, and what gates cost."""
        rows = []
        for work in WORK:
            for saving in (False, True):
                known = [(n, f) for n in self.batches if (f := self.ledger.of(_name(work, saving, n)))]
                rows += [_row(work, saving, n, facts, known[:2]) for n, facts in known]
        gates = self.ledger.of("gates")
        note = "" if gates is None else f"gated against plain step: {gates['gated_s'] / gates['plain_s']:.3f}"
        columns = ["work", "gradient checkpointing", "batch", "peak, GiB", "predicted, GiB", "step, s"]
        show_rows(f"memory of {self.kind.name} on {self.place.device}", columns, rows, note)

    @cached_property
    def teacher(self) -> Any:
        """The dense model with random weights, made on the device."""
        with self.place.device:
            return self.kind.load(RANDOM).to(self.place.device)

    @cached_property
    def pairs(self) -> Pairs:
        """Noise of the sizes that training reads."""
        return targets.noise_pairs(self.teacher, 0)

    def _gates(self) -> Facts:
        unet, dtype = self.teacher.unet, torch.bfloat16 if self.place.device.type == "cuda" else torch.float32
        size = self.pairs.latents.shape[-1]
        student = Student.of(targets.dense(unet).mixture.experts[0].to(dtype), self.batches[0], size, self.kind.tokens)
        calls = {name: _after(student.forget, getattr(student, name)) for name in ("plain", "gated")}
        times = alternately(calls, self.place.device, 2, ROUNDS if not self.place.smallest else 2)
        unet.to(torch.float32)
        return {f"{name}_s": float(seconds.median()) for name, seconds in times.items()} | {"batch": self.batches[0]}

    def _step(self, work: str, saving: bool, size: int) -> Callable[[], Facts]:
        def measure() -> Facts:
            smaller = [self.ledger.of(_name(work, saving, n)) for n in self.batches if n < size]
            if any(facts and facts["peak_bytes"] is None for facts in smaller):
                return {"peak_bytes": None, "step_s": None, "why": "a smaller batch did not fit"}
            unet, watch = self.teacher.unet, Stopwatch()
            (unet.enable_gradient_checkpointing if saving else unet.disable_gradient_checkpointing)()
            with tempfile.TemporaryDirectory(prefix="aptp-bench-", ignore_cleanup_errors=True) as scratch:
                run = {"fine-tuning": self._finetune, "search": self._search}[work]
                try:
                    peak = self._peak(lambda: run(size, Path(scratch), watch))
                except torch.cuda.OutOfMemoryError as err:
                    return {"peak_bytes": None, "step_s": None, "why": str(err).splitlines()[0]}
                finally:
                    unet.disable_gradient_checkpointing()
            return {"peak_bytes": peak, "step_s": statistics.median(watch.laps)}

        return measure

    def _finetune(self, size: int, folder: Path, watch: Stopwatch) -> None:
        """All weights of the dense U-Net's copy, against the dense one."""
        config = FinetuneConfig(steps=STEPS, batch=size, precision="bfloat16")
        where = {"seed": 0, "folder": folder, "device": self.place.device, "progress": watch}
        finetune(Mixture.of_one(self.teacher.unet), self.teacher, self.pairs, config, **where)

    def _search(self, size: int, folder: Path, watch: Stopwatch) -> None:
        """APTP's, both stages."""
        few = {"batch": size, "accumulate": 1, "warmup_steps": 1, "joint_steps": STEPS, "align_steps": 0}
        method = registry.get("methods", "aptp")(**few, precision="bfloat16")
        method.prune(Pruning(self.teacher, self.pairs, Budget.of(0.64), 0, self.place.device, folder, watch, "mini"))

    def _peak(self, run: Callable[[], None]) -> int:
        """Bytes at the worst moment, those that were there before included."""
        if self.place.device.type == "cuda":
            torch.cuda.empty_cache()
            before = torch.cuda.memory_allocated(self.place.device)
            return before + peak_allocated(run, self.place.device)
        with LiveBytes() as counter:
            run()
        return counter.living.peak + sum(p.numel() * p.element_size() for p in self.teacher.unet.parameters())


class Stopwatch(SilentProgress):
    """Seconds from step to step of whatever reports its progress here, the first of each stage left out."""

    def __init__(self) -> None:
        self.laps: list[float] = []

    def track(self, items: Sequence[Any], label: str, done: int = 0) -> Iterator[Any]:
        """The items; a lap is what the caller does between two."""
        for place, item in enumerate(items[done:]):
            start = time.perf_counter()
            yield item
            if place:
                self.laps.append(time.perf_counter() - start)


def _after(first: Callable[[], None], then: Callable[[], None]) -> Callable[[], None]:
    def both() -> None:
        first()
        then()

    return both


def _name(work: str, saving: bool, size: int) -> str:
    return f"{work}{', checkpointed' * saving}, batch {size}"


def _row(work: str, saving: bool, size: int, facts: Facts, two: Iterable[tuple[int, Facts]]) -> list[str]:
    peak = f"{facts['peak_bytes'] / GIB:.2f}" if facts["peak_bytes"] else "does not fit"
    step = f"{facts['step_s']:.3f}" if facts["step_s"] else ""
    (a, low), *more = two
    predicted = ""
    if more and size > more[0][0] and low["peak_bytes"] and more[0][1]["peak_bytes"]:
        (b, high), slope = more[0], (more[0][1]["peak_bytes"] - low["peak_bytes"]) / (more[0][0] - a)
        predicted = f"{(high['peak_bytes'] + slope * (size - b)) / GIB:.2f}"
    return [work, "yes" if saving else "no", str(size), peak, predicted, step]
