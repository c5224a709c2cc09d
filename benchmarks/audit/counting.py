"""Three counts of MACs for one network, and what a budget in one leaves in another."""

from __future__ import annotations

from typing import Any

from aptp_bench import registry
from aptp_bench.benchmarks.audit.finding import Check, Place, table
from aptp_bench.budget import CONVENTIONS
from aptp_bench.profiling import records
from aptp_bench.profiling.records import SpeedRecord
from aptp_bench.pruning.macs import count, example_inputs

MODEL, CROSS_ATTENTION = "sd21", "attn2"
GIGA = 1e9


def measure(place: Place) -> dict[str, Any]:
    """SD 2.1's U-Net on the meta device in every convention; budgets of 0.78 `aptp` MACs from a processor's speed records."""
    unet = registry.get("models", MODEL)().skeleton()
    inputs = example_inputs(unet)
    whole, cross = {}, {}
    for convention in CONVENTIONS:
        counted = count(unet, inputs, convention)
        whole[convention] = counted.total
        cross[convention] = sum(
            counted.under(path) for path, _ in unet.named_modules() if path.endswith(CROSS_ATTENTION)
        )
    found = [records.load(path) for path in sorted((place.results / records.FOLDER).glob("*_cpu.json"))]
    budgets = {record.label: dict(record.macs_ratio) for record in found if _asked(record)}
    return {"macs": whole, "cross_attention": cross, "budgets": budgets}


def lines(facts: dict[str, Any]) -> list[str]:
    """Both tables."""
    rows = [[f"`{c}`", _g(facts["macs"][c]), _g(facts["cross_attention"][c])] for c in CONVENTIONS]
    budgets = [[label, *(f"{ratios[c]:.3f}" for c in CONVENTIONS)] for label, ratios in facts["budgets"].items()]
    return [
        *table(["SD 2.1's U-Net at 768 px", "MACs, G", "of which cross-attention, G"], rows),
        "",
        *table(["networks of equal `aptp` MACs", *(f"`{c}`" for c in CONVENTIONS)], budgets),
    ]


def _asked(record: SpeedRecord) -> bool:
    budget = record.budget or {}
    plain = "aligned" not in record.label.lower()
    return record.model == MODEL and budget.get("convention") == "aptp" and plain


def _g(macs: int) -> str:
    return f"{macs / GIGA:,.3f}"


CHECK = Check("counting", "three conventions of counting MACs", measure, lines)
