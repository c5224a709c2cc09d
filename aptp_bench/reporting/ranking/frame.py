"""Records as a pandas frame: what a notebook begins with."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aptp_bench.budget import CONVENTIONS
from aptp_bench.core.differences import Components, Difference
from aptp_bench.harness.replicates import of_all
from aptp_bench.records import Record, load_all
from aptp_bench.reporting.ranking.entries import Entry, entries
from aptp_bench.reporting.ranking.groups import ComparisonGroup, comparison_groups
from aptp_bench.reporting.ranking.pairs import matched, scores_of

if TYPE_CHECKING:
    import pandas


def load_records(results: str | Path = "results") -> pandas.DataFrame:
    """The records under `results`, a row each.

    Columns: record (its file's name), world, dataset, model, method, label, entry, budget, convention, seed, steps (of
    fine-tuning), experts, macs_<convention> (share of dense), parameters_stored, parameters_per_image, commit, date (empty in older
    ones), device;
    for every metric its value, and <metric>_low, <metric>_high (95 % interval, NaN where there is none) and <metric>_n;
    for metrics with replicates <metric>_gap, the record's value minus the dense network's at the same seed, prompt by prompt,
    and <metric>_gap_low, <metric>_gap_high (95 %, over prompts), where there is such a dense record.
    Files that are no records are left out with a warning that names them.
    """
    import pandas

    found, malformed = load_all(Path(results))
    for reason in malformed.values():
        warnings.warn(reason, stacklevel=2)
    known = entries(found.values())
    owners = (next((e for e in known if record in e.records), Entry((record,))) for record in found.values())
    frame = [_row(*each) for each in zip(found, found.values(), owners, strict=True)]
    gaps = _gaps(comparison_groups(known, of_all(found)))
    return pandas.DataFrame([row | gaps.get(id(record), {}) for row, record in zip(frame, found.values(), strict=True)])


def _gaps(groups: Iterable[ComparisonGroup]) -> dict[int, dict[str, float]]:
    """Of a record, by its id: how far it is from the dense network's record of its seed, in every metric that can be paired."""
    found: dict[int, dict[str, float]] = {}
    for group in groups:
        dense = {record.what.seed: record for entry in group.references for record in entry.records}
        beside = [(r, dense[r.what.seed]) for entry in group.entries for r in entry.records if r.what.seed in dense]
        found |= {id(record): _gap(group, record, other) for record, other in beside}
    return found


def _gap(group: ComparisonGroup, record: Record, dense: Record) -> dict[str, float]:
    """The columns of a record's differences from the dense network's."""
    row: dict[str, float] = {}
    own, other = Entry((record,)), Entry((dense,))
    for metric in own.protocols:
        if own.protocols[metric] == other.protocols.get(metric):
            found = matched(*(scores_of(each, metric, group.kept)[0] for each in (own, other)))
            if found is not None:
                gap = Difference.of(Components.of(found))
                low, high = gap.interval
                row |= {f"{metric}_gap": gap.value, f"{metric}_gap_low": low, f"{metric}_gap_high": high}
    return row


def _row(path: Path, record: Record, entry: Entry) -> dict[str, Any]:
    what = record.what
    row: dict[str, Any] = {"record": path.stem, "world": record.world}
    row |= {"dataset": what.dataset, "model": what.model, "method": what.method, "label": entry.label}
    row |= {"entry": entry.name, "budget": what.budget.ratio, "convention": what.budget.convention, "seed": what.seed}
    row |= {"steps": what.finetune.get("steps"), "experts": len(record.experts)}
    row |= {f"macs_{name}": record.macs[name].ratio for name in CONVENTIONS if name in record.macs}
    row |= {f"parameters_{key}": getattr(record.parameters, key) for key in ("stored", "per_image")}
    row |= {"commit": record.how.commit, "date": record.how.date, "device": record.how.device}
    for name, found in record.results.items():
        low, high = found.interval or (float("nan"), float("nan"))
        row |= {name: found.value, f"{name}_low": low, f"{name}_high": high, f"{name}_n": found.n}
    return row
