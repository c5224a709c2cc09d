"""The loop over all operators, Algorithm 1, and the file that lets it go on after a kill.

Ours differs in what costs time, not in what comes out: many prompts share a U-Net call, text is read from the training
pairs, and the parts that end before the modified operator's own begins are not computed again in the first step, where
all networks get the same input: the distances are the same to the last bit. The order is turned around, prompts outside
and operators inside, so that only one part of the prompts is held; several processes share the work.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from aptp_bench.core.digests import weights_digest
from aptp_bench.core.distributed import Ranks
from aptp_bench.core.files import write_text
from aptp_bench.core.noise import generator
from aptp_bench.core.store import digest_of
from aptp_bench.methods.ld_pruner.config import ALONE, LDPrunerConfig
from aptp_bench.methods.ld_pruner.latents import Trial, answering, overhearing, reads_text, trials
from aptp_bench.methods.ld_pruner.operators import Operator, stand_in
from aptp_bench.methods.ld_pruner.scores import avg_dist, finite, score, std_dist
from aptp_bench.plugins import Job
from aptp_bench.pruning.surgery import clone, swapped

Row = dict[str, Any]  # part, operator, samples, and the distances of the part's prompts: avg, std


@dataclass(frozen=True)
class Scored:
    """What all latents say about each operator, by path, in the order of the operators; the lowest score goes first.

    samples: U-Net samples spent, the original's latents included; calls that reuse known parts count in full.
    """

    scores: dict[str, float]
    avg: dict[str, float]
    std: dict[str, float]
    prompts: list[int]
    samples: int


def scored(job: Job, config: LDPrunerConfig, among: Sequence[Operator]) -> Scored:
    """Score every operator of the job's teacher, from where a killed run left off. The teacher is only read."""
    if reads_text(job.teacher):
        prompts = drawn(len(job.train), config.prompts, job.seed)
    else:
        prompts = [0]  # one condition
        config = config.model_copy(update={"generations": max(config.generations, ALONE)})
    parts = trials(job.teacher, job.train, prompts, config, job.seed)
    ranks = Ranks.here()
    ledger = Ledger(job.workdir, _key(job, config, prompts, among), ranks.rank)
    done = ledger.rows().keys()
    ranks.wait()  # all have read before one writes
    ledger.open()
    mine = ranks.share([(i, operator) for i in range(len(parts)) for operator in among])
    finished = [work for work in mine if (work[0], work[1].path) in done]
    waiting = [work for work in mine if (work[0], work[1].path) not in done]
    bench = _Bench(job, config, parts)
    for i, operator in job.progress.track(finished + waiting, "LD-Pruner scores", done=len(finished)):
        ledger.append(bench.row(i, operator))
    ranks.wait()
    return _summed(ledger.rows(), parts, among, config, prompts)


def drawn(available: int, wanted: int, seed: int) -> list[int]:
    """Indices of the training captions to score by, drawn by seed; all of them if there are not as many as wanted."""
    return torch.randperm(available, generator=generator("ld_pruner", seed))[:wanted].tolist()


class _Bench:
    """The teacher's twin, on which one operator after another is swapped, and the part of the prompts that is held."""

    def __init__(self, job: Job, config: LDPrunerConfig, parts: Sequence[Trial]) -> None:
        unet = job.teacher.unet
        self.unet = clone(unet, {p: p.detach() for p in unet.parameters()}).eval()  # its own modules, the same tensors
        self.config, self.parts = config, parts
        self.held: int | None = None

    def row(self, part: int, operator: Operator) -> Row:
        """Modify, sample, compare, restore."""
        trial = self.parts[part]
        if part != self.held:  # the original's latents, and what its parts answer in the first step
            self.answers: dict[str, Any] = {}
            self.original, self.held = trial.latents(self.unet, overhearing(self.unet, self.answers)), part
        with swapped(self.unet, operator.path, stand_in(self.unet, operator)):
            made = trial.latents(self.unet, answering(self.unet, self.answers, before=operator.path))
        distances = {"avg": avg_dist(self.original, made), "std": std_dist(self.original, made, self.config.unbiased)}
        facts = {"part": part, "operator": operator.path, "samples": trial.samples}
        return facts | {name: [finite(x) for x in each.tolist()] for name, each in distances.items()}


class Ledger:
    """Finished rows as JSON lines, a file a process, each under the key of all that decides them.

    A line torn by a kill is dropped, and so are files of another key.
    """

    def __init__(self, folder: Path, key: str, rank: int = 0) -> None:
        self.folder, self.key = folder, key
        self.file = folder / f"scores-{rank:02d}.jsonl"
        folder.mkdir(parents=True, exist_ok=True)

    def rows(self) -> dict[tuple[int, str], Row]:
        """The whole rows of all processes, by part and operator."""
        found = [row for file in sorted(self.folder.glob("scores-*.jsonl")) for row in self._read(file)]
        return {(row["part"], row["operator"]): row for row in found}

    def open(self) -> None:
        """Make this process's file end after its last whole row; one of another key begins anew."""
        rows = self._read(self.file) if self.file.exists() else []
        lines = "".join(json.dumps(row) + "\n" for row in ({"key": self.key}, *rows))
        write_text(self.file, lines)

    def append(self, row: Row) -> None:
        """Write one row, so that a kill afterwards does not lose it."""
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def _read(self, file: Path) -> list[Row]:
        rows = []
        for line in file.read_text(encoding="utf-8").splitlines(keepends=True):
            try:
                rows.append(json.loads(line if line.endswith("\n") else ""))
            except ValueError:
                break
        return rows[1:] if rows and rows[0] == {"key": self.key} else []


def _key(job: Job, config: LDPrunerConfig, prompts: Sequence[int], among: Sequence[Operator]) -> str:
    """A digest of all that decides the distances; which formula joins them and how many operators go is not among it."""
    facts = {
        "settings": config.model_dump(mode="json", exclude={"score", "p"}),
        "seed": job.seed,
        "captions": [job.train.captions[i] for i in prompts] if reads_text(job.teacher) else [],
        "operators": [operator.path for operator in among],
        "teacher": weights_digest(job.teacher),
    }
    return digest_of(facts)


def _summed(
    rows: Mapping[tuple[int, str], Row],
    parts: Sequence[Trial],
    among: Sequence[Operator],
    config: LDPrunerConfig,
    prompts: list[int],
) -> Scored:
    """Join each operator's distances over all parts."""

    def over(name: str) -> dict[str, list[float]]:
        joined = {o.path: [x for i in range(len(parts)) for x in rows[i, o.path][name]] for o in among}
        return {path: [math.inf if x is None else x for x in each] for path, each in joined.items()}

    avg, std = over("avg"), over("std")
    return Scored(
        scores={path: score(avg[path], std[path], config.score) for path in avg},
        avg={path: score(avg[path], std[path], "average") for path in avg},
        std={path: score(avg[path], std[path], "deviation") for path in avg},
        prompts=prompts,
        samples=sum(part.samples for part in parts) + sum(row["samples"] for row in rows.values()),
    )
