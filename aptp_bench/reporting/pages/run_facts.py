"""A run's details on a page: what was set, what came out for each seed, samples, experts, and how to get it again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from aptp_bench.budget import CONVENTIONS
from aptp_bench.records import Measurement, Record
from aptp_bench.reporting.numbers import MEGA, exact, span
from aptp_bench.reporting.pages import wording
from aptp_bench.reporting.pages.render import picture
from aptp_bench.reporting.ranking.entries import PROTOCOL, Entry
from aptp_bench.reporting.ranking.groups import ComparisonGroup, budget
from aptp_bench.reporting.ranking.names import headed
from aptp_bench.reporting.worlds import SAID

SHORT = 12  # characters of a digest that are enough to see a difference
PIXELS = 64  # tiles below this are shown with sharp pixels


@dataclass(frozen=True)
class Source:
    """A record and its file: its path in the results folder, its digest, and its samples if they are there."""

    record: Record
    path: str
    sha256: str
    sheet: bytes | None

    @property
    def slug(self) -> str:
        """The run's name on the page."""
        return self.path.rpartition("/")[2].removesuffix(".json")


def source_of(record: Record, sources: Iterable[Source]) -> Source:
    """The file that a record was read from."""
    return next(source for source in sources if source.record is record)


def run_facts(entry: Entry, group: ComparisonGroup, sources: Sequence[Source]) -> dict[str, Any]:
    """All that the page says of an entry: the part that its seeds share, and each seed's own."""
    first, (ratio, convention) = entry.first, budget(entry)
    return {
        "id": source_of(first, sources).slug,
        "label": entry.label,
        "method": entry.method,
        "changed": entry.changed,
        "world": first.world,
        "world_words": SAID[group.world],
        "about": ", ".join([first.what.dataset, wording.budget(ratio, convention), wording.model(group)]),
        "seeds": [_seed(source_of(record, sources)) for record in entry.records],
    }


def _seed(source: Source) -> dict[str, Any]:
    record, how = source.record, source.record.how
    return {
        "seed": record.what.seed,
        "file": source.path,
        "sha256": source.sha256,
        "remark": record.remark,
        "samples": _samples(source),
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
        "config": yaml.safe_dump(record.what.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
    }


def _samples(source: Source) -> dict[str, Any] | None:
    """The sheet's tiles and captions; None where the record kept none or its sheet is not there."""
    samples = source.record.samples
    if samples is None or source.sheet is None:
        return None
    captions = samples.captions
    last = max(1, len(captions) - 1)
    return {
        "sheet": picture(source.sheet),
        "sharp": samples.edge < PIXELS,
        "count": len(captions),
        "tiles": [(f"{100 * place / last:.4g}%", caption) for place, caption in enumerate(captions)],
    }


def _result(name: str, found: Measurement) -> dict[str, Any]:
    return {
        "head": headed(name, found.unit, found.better),
        "value": exact(found.value),
        "interval": span(found.interval, "{:.4g}".format),
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
