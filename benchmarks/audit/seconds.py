"""Which precision the published seconds fit: a roofline of an A100 beside the seconds that the paper prints."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from aptp_bench.benchmarks.audit.finding import Check, Place, table
from aptp_bench.profiling import records

DEVICE, TABLE = "A100", "aptp_1b"
KEYS: dict[str, tuple[str, float | None]] = {
    "dense": ("dense", None),
    "Norm 0.78": ("norm", None),
    "BK-SDM 0.78": ("bk_sdm", None),
    "APTP 0.78": ("aptp", 0.78),
    "APTP 0.64": ("aptp", 0.64),
}


def measure(place: Place) -> dict[str, Any]:
    """Bounds of a processor's speed records (25 PNDM steps, guidance, 768 px, batch 1), and the paper's seconds a sample."""
    tables = json.loads(files("aptp_bench.reference").joinpath("paper_tables.json").read_text(encoding="utf-8"))
    paper = {(row["method"], row["budget"]): row["latency_s"] for row in tables[TABLE]["rows"]}
    found = [records.load(path) for path in sorted((place.results / records.FOLDER).glob("*sd21*_cpu.json"))]
    facts = {}
    for record in found:
        if record.label in KEYS:
            bounds = {each.dtype: each.image_s for each in record.predicted if DEVICE in each.device}
            facts[record.label] = {**bounds, "paper": paper[KEYS[record.label]]}
    return {label: facts[label] for label in KEYS if label in facts}


def lines(facts: dict[str, Any]) -> list[str]:
    """The table."""
    rows = [
        [label, f"{found['bfloat16']:.2f}", f"{found['float32']:.2f}", f"{found['paper']:.1f}"]
        for label, found in facts.items()
    ]
    return table(["seconds an image, one A100", "bound, half precision", "bound, float32", "the paper"], rows)


CHECK = Check("seconds", "which precision the published seconds fit", measure, lines)
