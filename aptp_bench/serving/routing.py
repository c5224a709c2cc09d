"""Where a router sends prompts: the expert and the budget of each, and what the prompts of an expert have in common."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aptp_bench.core.files import write_text
from aptp_bench.core.progress import Progress
from aptp_bench.errors import CheckpointError, ConfigError, WeightsError
from aptp_bench.harness.costs import served_by
from aptp_bench.harness.keywords import TOP, frequent_words
from aptp_bench.models.mixture import Router, saved_router
from aptp_bench.records import Record

CHUNK = 1024  # prompts between two signs of progress
EXACT = "exact"


@dataclass(frozen=True)
class Routes:
    """prompts: n texts; experts: of each its expert, int64 [n], of `size` there are.

    record: of the run, which knows what experts cost; None of a saved pipeline, which does not.
    """

    prompts: Sequence[str]
    experts: Tensor
    size: int
    record: Record | None = None

    @property
    def conventions(self) -> list[str]:
        """The convention of the run's budget, and exact; none where costs are not known."""
        if self.record is None:
            return []
        return list(dict.fromkeys([self.record.what.budget.convention, EXACT]))

    @cached_property
    def served(self) -> list[list[str]]:
        """The prompts of every expert."""
        return served_by(self.experts.tolist(), self.prompts, self.size)

    @property
    def ratios(self) -> dict[str, list[float]]:
        """macs_<convention> -> of every expert its MACs as a share of the dense network's."""
        if self.record is None:
            return {}
        return {f"macs_{name}": self.record.expert_ratios(name) for name in self.conventions}

    def mean(self, convention: str) -> float:
        """Share of the dense MACs that a prompt costs, mean over these prompts."""
        ratios = self.ratios[f"macs_{convention}"]
        return sum(len(own) * ratio for own, ratio in zip(self.served, ratios, strict=True)) / len(self.prompts)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Of every prompt: prompt, expert, macs_<convention> (share of dense)."""
        ratios = self.ratios
        for prompt, expert in zip(self.prompts, self.experts.tolist(), strict=True):
            yield {"prompt": prompt, "expert": expert} | {name: each[expert] for name, each in ratios.items()}

    def experts_table(self, top: int = TOP) -> list[dict[str, Any]]:
        """Of every expert: expert, macs_<convention>, prompts, share, words (the `top` most frequent ones)."""
        return [
            {"expert": expert}
            | {name: each[expert] for name, each in self.ratios.items()}
            | {"prompts": len(own), "share": len(own) / len(self.prompts), "words": frequent_words(own, top)}
            for expert, own in enumerate(self.served)
        ]


def router_of(mixture: Path, encoder: str | None = None) -> Router:
    """The router of a saved mixture; its networks are not read. encoder: where its prompt encoder lies now.

    Raises WeightsError, CheckpointError if that encoder is another, ConfigError.
    """
    try:
        return saved_router(mixture, encoder)
    except WeightsError as err:
        if encoder is not None or isinstance(err, CheckpointError):
            raise
        raise WeightsError(f"{err}; or say where the run's prompt encoder lies now: --encoder FOLDER") from err


def routed(
    router: Router, prompts: Sequence[str], size: int, progress: Progress, record: Record | None = None
) -> Routes:
    """Send prompts to `size` experts, each by itself. Raises ConfigError without any, CheckpointError for a wrong router."""
    if not prompts:
        raise ConfigError("there is no prompt; give --prompt TEXT, or --prompts FILE with a prompt a line")
    chunks = [prompts[start : start + CHUNK] for start in range(0, len(prompts), CHUNK)]
    experts = torch.cat([router(chunk) for chunk in progress.track(chunks, f"route, {CHUNK} prompts each")])
    if not 0 <= int(experts.min()) <= int(experts.max()) < size:
        raise CheckpointError(f"the router is not over the mixture's {size} experts; run again")
    return Routes(prompts, experts, size, record)


def write_csv(routes: Routes, path: Path) -> None:
    """A row a prompt, as a UTF-8 CSV."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, ["prompt", "expert", *routes.ratios], lineterminator="\n")
    writer.writeheader()
    writer.writerows(routes.rows())
    write_text(path, stream.getvalue())
