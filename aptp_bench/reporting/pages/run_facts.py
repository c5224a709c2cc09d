"""A run's details on a page: what was set, what came out for each seed, samples, experts, and how to get it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from aptp_bench.budget import CONVENTIONS
from aptp_bench.records import Measurement, Record
from aptp_bench.reporting.pages import wording
from aptp_bench.reporting.pages.render import picture
from aptp_bench.reporting.ranking.entries import PROTOCOL, Entry
from aptp_bench.reporting.ranking.groups import Contest, budget
from aptp_bench.reporting.ranking.names import headed
from aptp_bench.reporting.worlds import SAID

MEGA = 1e6
SHORT = 12  # characters of a digest that are enough to see a difference
PIXELS = 64  # tiles below this are shown with sharp pixels


@dataclass(frozen=True)
class Source:
    """A record's file: its path in the results folder, its digest, and its samples if they are there."""

    path: str
    sha256: str
    sheet: bytes | None


def slug(source: Source) -> str:
    """A run's name on the page: its record's."""
    return source.path.rpartition("/")[2].removesuffix(".json")


def run_facts(entry: Entry, contest: Contest, sources: Mapping[int, Source]) -> dict[str, Any]:
    """All that the page says of an entry: the part that its seeds share, and each seed's own."""
    first, (ratio, convention) = entry.first, budget(entry)
    return {
        "id": slug(sources[id(first)]),
        "label": entry.label,
        "method": entry.method,
        "changed": entry.changed,
        "world": first.world,
        "world_words": SAID[contest.world],
        "about": ", ".join([str(first.what["dataset"]), wording.budget(ratio, convention), wording.model(contest)]),
        "seeds": [_seed(record, sources[id(record)]) for record in entry.records],
    }


def _seed(record: Record, source: Source) -> dict[str, Any]:
    how = record.how
    return {
        "seed": record.what["seed"],
        "file": source.path,
        "sha256": source.sha256,
        "remark": record.remark,
        "samples": _samples(record, source),
        "results": [_result(name, found) for name, found in record.results.items()],
        "skipped": record.skipped,
        "macs": [(name, record.macs[name]) for name in CONVENTIONS if name in record.macs],
        "parameters": record.parameters,
        "experts": [_expert(record, place) for place in range(len(record.experts))],
        "command": how.command,
        "commit": how.commit,
        "dirty": how.dirty,
        "device": f"{how.device}, {how.threads} thread{'' if how.threads == 1 else 's'}",
        "versions": how.versions,
        "seconds": how.seconds,
        "digests": how.digests,
        "config": yaml.safe_dump(record.what, sort_keys=False, allow_unicode=True),
    }


def _samples(record: Record, source: Source) -> dict[str, Any] | None:
    """The sheet's tiles and captions; None where the record kept none or its sheet is not there."""
    if record.samples is None or source.sheet is None:
        return None
    captions = record.samples.captions
    last = max(1, len(captions) - 1)
    return {
        "sheet": picture(source.sheet),
        "sharp": record.samples.edge < PIXELS,
        "count": len(captions),
        "tiles": [(f"{100 * place / last:.4g}%", caption) for place, caption in enumerate(captions)],
    }


def _result(name: str, found: Measurement) -> dict[str, Any]:
    low, high = found.interval or (None, None)
    return {
        "head": headed(name, found.unit, found.better),
        "value": f"{found.value:.6g}",
        "interval": "" if low is None else f"{low:.4g} to {high:.4g}",
        "n": found.n,
        "how": ", ".join(
            f"{key.replace('_', ' ')} {_short(found.detail[key])}" for key in PROTOCOL if key in found.detail
        ),
    }


def _short(value: Any) -> str:
    text = str(value)
    digest = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return f"{text[:SHORT]}…" if digest else text


def _expert(record: Record, place: int) -> dict[str, Any]:
    expert = record.experts[place]
    shares = [
        f"{expert.macs[name] / record.macs[name]['dense']:.4f}" if name in expert.macs else "–" for name in CONVENTIONS
    ]
    served = {"train": expert.train_prompts, "eval": expert.eval_prompts}
    return {
        "shares": shares,
        "parameters": f"{expert.parameters / MEGA:.2f}",
        **served,
        "words": ", ".join(expert.words),
    }
