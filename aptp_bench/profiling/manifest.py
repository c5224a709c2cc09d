"""A subject written down without weights, so that its networks can be timed elsewhere: nothing is searched there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import FiniteFloat

from aptp_bench.budget import Budget
from aptp_bench.core.documents import Frozen
from aptp_bench.core.files import write_text
from aptp_bench.core.lazy import OnDemand
from aptp_bench.models.architecture import Architecture
from aptp_bench.models.call_plan import PLAIN, CallPlan
from aptp_bench.models.checkpoint import document
from aptp_bench.models.mixture import ConstantRouter, Mixture
from aptp_bench.profiling.records import slug
from aptp_bench.profiling.targets import Subject


class Manifest(Frozen):
    """A method's networks. share: each expert's part of the prompts; geometry: how the widths came about."""

    version: Literal[1] = 1
    label: str
    method: str
    settings: dict[str, Any]
    budget: Budget | None
    share: list[FiniteFloat]
    geometry: str
    remark: str = ""
    plan: CallPlan = PLAIN
    experts: list[Architecture]

    @classmethod
    def of(cls, subject: Subject) -> Manifest:
        """Write a subject down. Raises CheckpointError for a network that no manifest can tell."""
        return cls(
            label=subject.label,
            method=subject.method,
            settings=subject.settings,
            budget=subject.budget,
            share=subject.share.tolist(),
            geometry=subject.geometry,
            remark=subject.mixture.remark,
            plan=subject.mixture.plan,
            experts=[Architecture.of(subject.mixture.experts[i]) for i in range(len(subject.mixture))],
        )

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read what `save` wrote. Raises CheckpointError."""
        return document(path, cls)

    def save(self, folder: Path) -> Path:
        """Write it to `folder`, whole or not at all, under a name made of its label; where it lies."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / filename(self.label)
        write_text(path, self.model_dump_json(exclude={"plan"} if self.plan == PLAIN else None) + "\n")
        return path

    def subject(self, device: torch.device | str, held: int = 1) -> Subject:
        """The networks with random weights, made on `device` when asked for, the last `held` of them in memory."""
        experts = OnDemand(lambda i: self.experts[i].drawn(device, seed=i), len(self.experts), held)
        return Subject(
            label=self.label,
            mixture=Mixture(experts, ConstantRouter(), self.remark, self.plan),
            share=torch.tensor(self.share, dtype=torch.float64),
            geometry=self.geometry,
            method=self.method,
            settings=self.settings,
            budget=self.budget,
        )


def filename(label: str) -> str:
    """The file of the manifest of that label, in a folder of manifests."""
    return f"{slug(label)}.json"
