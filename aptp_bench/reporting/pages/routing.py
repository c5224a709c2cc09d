"""What a page says of a run's routes: the numbers that the method gives, and what they could have won."""

from __future__ import annotations

from collections.abc import Sequence

from aptp_bench.core.settings import FinetuneConfig
from aptp_bench.harness.oracle import DENOISING
from aptp_bench.records import Record
from aptp_bench.reporting.oracle import Realised

MEANINGS = {  # of the numbers in a record's diagnostics
    "load_size": "correlation of an expert's mean load in the batches of the search with its size",
    "served_size": "correlation of the number of training prompts that an expert serves with its size",
    "difficulty_size": "correlation of how hard an expert's prompts are with its size. Hard: what a uniform cut to the "
    "budget adds to the denoising error",
    "same_route_other_noise": "prompts that train the same expert under another draw of the gates' noise",
    "same_route_other_batch": "prompts that train the same expert in a batch of other prompts",
    "served_as_trained": "prompts that are served by the expert that they train",
    "soft_ratio": "MACs of the relaxed gates at the end of the search, as a share of dense",
    "kinds_told": "training prompts whose kind the router tells right",
}


def lines(record: Record) -> list[tuple[str, str]]:
    """(what a number means, the number) of a record's diagnostics; one without a known meaning under its own name."""
    return [(MEANINGS.get(name, name), f"{value:.3f}") for name, value in record.diagnostics.items()]


def tuning(record: Record) -> str:
    """How many steps of fine-tuning the experts of a mixture had; empty for one network."""
    if len(record.experts) < 2 or "steps" not in record.what.finetune:
        return ""
    config = FinetuneConfig(**record.what.finetune)
    steps = config.steps_each([expert.train_prompts for expert in record.experts])
    shared = {"total": "shared among the experts by their prompts", "each": "for each expert"}[config.share]
    return f"Fine-tuning: {config.steps:,} steps {shared}; {_span(steps)} an expert, {sum(steps):,} in all."


def oracle(found: Realised) -> list[str]:
    """Sentences on what routing could win here, and on the share that this run's sizes realise."""
    of = found.found
    tuned = f"fine-tuned for {of.finetune_steps} steps" if of.finetune_steps else "not fine-tuned"
    share = "" if found.share is None else f", {found.share:.0%} of what could be won"
    lost = "rise of the denoising error" if of.damage == DENOISING else f"loss in {of.damage}"
    return [
        f"At this run's mean of {found.mean:.3f} of the MACs, the best size for each {of.by} would save "
        f"{found.oracle:.1%} of the damage that a uniform cut does ({of.method}, {tuned}; {lost}).",
        f"The sizes of this run's experts save {found.gain:.1%} of it{share}.",
    ]


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
