"""Records as a pandas frame: what a notebook begins with."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aptp_bench.budget import CONVENTIONS
from aptp_bench.records import Record, load_all
from aptp_bench.reporting.ranking.entries import Entry, entries

if TYPE_CHECKING:
    import pandas


def load_records(results: str | Path = "results") -> pandas.DataFrame:
    """The records under `results`, a row each.

    Columns: record (its file's name), world, dataset, model, method, label, entry, budget, convention, seed, steps (of
    fine-tuning), experts, macs_<convention> (share of dense), parameters_stored, parameters_per_image, commit, device;
    for every metric its value, and <metric>_low, <metric>_high (95 % interval, NaN where there is none) and <metric>_n.
    Files that are no records are left out with a warning that names them.
    """
    import pandas

    found, malformed = load_all(Path(results))
    for reason in malformed.values():
        warnings.warn(reason, stacklevel=2)
    known = entries(found.values())
    owners = (next((e for e in known if record in e.records), Entry((record,))) for record in found.values())
    return pandas.DataFrame([_row(*each) for each in zip(found, found.values(), owners, strict=True)])


def _row(path: Path, record: Record, entry: Entry) -> dict[str, Any]:
    what = record.what
    row: dict[str, Any] = {"record": path.stem, "world": record.world}
    row |= {"dataset": what.dataset, "model": what.model, "method": what.method, "label": entry.label}
    row |= {"entry": entry.name, "budget": what.budget.ratio, "convention": what.budget.convention, "seed": what.seed}
    row |= {"steps": what.finetune.get("steps"), "experts": len(record.experts)}
    row |= {f"macs_{name}": record.macs[name]["ratio"] for name in CONVENTIONS if name in record.macs}
    row |= {f"parameters_{key}": record.parameters[key] for key in ("stored", "per_image")}
    row |= {"commit": record.how.commit, "device": record.how.device}
    for name, found in record.results.items():
        low, high = found.interval or (float("nan"), float("nan"))
        row |= {name: found.value, f"{name}_low": low, f"{name}_high": high, f"{name}_n": found.n}
    return row
