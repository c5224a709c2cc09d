"""Generation: prompts routed to experts, batched by expert, each image from its own noise.

An image depends on (mixture, prompt, seed, prompt index). Batch size, order and number of processes change it by
rounding at most, by nothing where sampling is exact. Batches are laid out before any is skipped, and done again whole:
a resumed run gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from aptp_bench.core.distributed import ALONE, Ranks
from aptp_bench.core.progress import Progress
from aptp_bench.generation.images import image_path, write_image
from aptp_bench.generation.sampling import Sampler

if TYPE_CHECKING:
    from aptp_bench.models.mixture import Mixture


def generate(
    mixture: Mixture,
    sampler: Sampler,
    captions: Sequence[str],
    folder: Path,
    progress: Progress,
    ranks: Ranks = ALONE,
    label: str = "generate",
) -> Tensor:
    """Write one PNG a caption into `folder`, numbered by the caption's index; finished batches are left as they are.

    Calls are made as the mixture plans them.

    Returns the expert of each caption, int64 [n]. Several processes share the batches.
    """
    sampler, assignment = replace(sampler, plan=mixture.plan), mixture.route(captions)
    layout = ranks.share(batches(assignment, sampler.config.batch))
    finished = [all(image_path(folder, i).is_file() for i in batch) for _, batch in layout]
    waiting = [job for job, done in zip(layout, finished, strict=True) if not done]
    order = [job for job, done in zip(layout, finished, strict=True) if done] + waiting
    for expert, batch in progress.track(order, label, done=len(layout) - len(waiting)):
        with torch.inference_mode():  # no name for the expert: one that is let go of must not be held here
            images = sampler.draw(mixture.experts[expert].eval(), [captions[i] for i in batch], batch)
        for index, image in zip(batch, images, strict=True):
            write_image(folder, index, image)
    return assignment


def batches(assignment: Tensor, size: int) -> list[tuple[int, list[int]]]:
    """assignment: int64 [n] -> (expert, at most `size` prompt indices) for every batch, expert by expert."""
    layout = []
    for expert in sorted(set(assignment.tolist())):
        mine = (assignment == expert).nonzero().flatten().tolist()
        layout += [(expert, mine[start : start + size]) for start in range(0, len(mine), size)]
    return layout
