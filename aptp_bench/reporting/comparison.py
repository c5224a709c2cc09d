"""Two records beside each other: per metric the difference and how sure it is, and the prompts where they differ most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aptp_bench import records, registry
from aptp_bench.errors import AptpBenchError, ConfigError
from aptp_bench.harness import replicates, run_folder
from aptp_bench.records import Record
from aptp_bench.reporting.figures.facts import RunFacts, facts_of
from aptp_bench.reporting.ranking.entries import Entry, protocol
from aptp_bench.reporting.ranking.pairs import Candidate, Pair, contest
from aptp_bench.reporting.ranking.ranking import rule
from aptp_bench.reporting.ranking.spread import SeedSpread, summary
from aptp_bench.reporting.worlds import NAMES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aptp_bench.reporting.figures.facts import On
    from aptp_bench.reporting.figures.samples import Panel
    from aptp_bench.reporting.ranking.pairs import Kept

PROMPTS = {"captions", "n"}  # of a protocol: where these differ, no prompt has a partner
SAMPLED = "images"  # how they were sampled, which may be what is compared


@dataclass(frozen=True)
class Side:
    """One of the two: its record, its replicates, and its run where images and captions are at hand."""

    name: str
    record: Record
    kept: Kept = field(default_factory=dict, repr=False)
    run: RunFacts | None = None

    @classmethod
    def of(cls, path: Path) -> Side:
        """A run's folder or a record's file. Raises ConfigError if it is neither."""
        facts: RunFacts | None = None
        if path.is_dir() or path.name == run_folder.FILE:
            facts = facts_of(path if path.is_dir() else path.parent)
            record, place = facts.record, facts.run.folder / run_folder.REPLICATES
            name = facts.run.folder.absolute().name
        else:
            record, place, name = records.load(path), replicates.path_of(path.absolute()), path.stem
        scores = replicates.read(place, record.replicates, record.results)
        kept = {record.replicates.sha256: scores} if record.replicates is not None and scores is not None else {}
        return cls(name, record, kept, facts)

    @property
    def entry(self) -> Entry:
        """The record as an entry of its own."""
        return Entry((self.record,))

    def candidate(self, metric: str, lacking: str) -> Candidate:
        """It in one metric. lacking: why it may not be paired; empty: it may."""
        found = self.record.results[metric]
        counted = rule(metric, found.detail).counted
        made = Candidate.of(self.entry, summary([found], SeedSpread(0.0, 0), counted), metric, self.kept)
        return Candidate(made.entry, made.summary, {}, lacking) if lacking else made


@dataclass(frozen=True)
class Furthest:
    """A prompt and what either made of it: its number of each, and their difference; caption: empty where it is not at hand."""

    at: int
    caption: str
    ours: float
    theirs: float


@dataclass(frozen=True)
class Comparison:
    """`one` minus `other`. pairs: by metric; apart: metric -> why there is nothing to compare."""

    one: Side
    other: Side
    pairs: Mapping[str, Pair]
    apart: Mapping[str, str]

    @classmethod
    def of(cls, one: Side, other: Side) -> Comparison:
        """Every metric that both have. Raises ConfigError for records of two worlds."""
        worlds = [NAMES[side.record.world] for side in (one, other)]
        if worlds[0] != worlds[1]:
            raise ConfigError(
                f"{one.name} is of the {worlds[0]}, {other.name} of the {worlds[1]}; these share no number"
            )
        pairs, apart = dict[str, Pair](), dict[str, str]()
        for metric in dict.fromkeys([*one.record.results, *other.record.results]):
            lacks = [side.name for side in (one, other) if metric not in side.record.results]
            if lacks:
                apart[metric] = f"{lacks[0]} has not measured it"
                continue
            differs = _differs(one.record, other.record, metric)
            if rest := sorted(differs - PROMPTS - {SAMPLED}):
                apart[metric] = f"measured otherwise: {', '.join(rest).replace('_', ' ')}"
                continue
            if "captions" in differs and _against_images(metric):
                apart[metric] = "held against other images"
                continue
            lacking = "they have other prompts" if differs & PROMPTS else ""
            sides = [side.candidate(metric, lacking) for side in (one, other)]
            (pairs[metric],) = contest(sides, rule(metric, one.record.results[metric].detail))
        return cls(one, other, pairs, apart)

    def furthest(self, metric: str, most: int) -> list[Furthest]:
        """The prompts where a metric differs most, the largest difference first; none where it is not paired."""
        if not self.pairs[metric].difference.n:
            return []
        ours, theirs = (_scores(side, metric) for side in (self.one, self.other))
        order = np.argsort(-np.abs(ours - theirs), kind="stable")[:most]
        captions = self._captions(metric)
        return [Furthest(at, captions.get(at, ""), float(ours[at]), float(theirs[at])) for at in map(int, order)]

    def panel(self, metrics: Sequence[str], most: int) -> Panel:
        """Both images of those prompts, a row a prompt. Raises ConfigError, DataError if a run or its images are gone."""
        from aptp_bench.generation.images import image_path
        from aptp_bench.reporting.figures.samples import Panel, Row, Tile, tile
        from aptp_bench.reporting.numbers import brief
        from aptp_bench.reporting.ranking.names import title

        if self.one.run is None or self.other.run is None:
            raise ConfigError("images lie in runs and not beside records; name the folders of both runs")
        rows = []
        for metric in metrics:
            folders = [facts.images(_on(metric)) for facts in (self.one.run, self.other.run)]
            for each in self.furthest(metric, most):
                shown = zip(folders, (each.ours, each.theirs), strict=True)
                tiles = tuple(Tile(tile(image_path(folder, each.at)), brief(value)) for folder, value in shown)
                rows.append(Row(f"{title(metric)}, prompt {each.at}\n{each.caption}", tiles))
        names = (self.one.record.what.method, self.other.record.what.method)
        return Panel("furthest", "Where they differ most", "", tuple(rows), names)

    def _captions(self, metric: str) -> dict[int, str]:
        """Place -> caption, as far as a run or a record's samples have them."""
        on = _on(metric)
        for facts in (self.one.run, self.other.run):
            if facts is not None:
                try:
                    return dict(enumerate(facts.captions(on)))
                except AptpBenchError:
                    continue  # its data or its images are gone
        known = self.one.record.samples or self.other.record.samples
        return dict(enumerate(known.captions)) if known is not None and on == "dataset" else {}


def _differs(one: Record, other: Record, metric: str) -> set[str]:
    """The facts of how a metric was measured in which two records differ."""
    a, b = protocol(one, metric), protocol(other, metric)
    return {key for key in a.keys() | b.keys() if a.get(key) != b.get(key)}


def _scores(side: Side, metric: str) -> NDArray[np.float64]:
    """A side's replicates of a metric that was compared in pairs: [n]."""
    (found,) = side.candidate(metric, "").scores.values()
    return found


def _against_images(metric: str) -> bool:
    """Whether a metric holds images against others of the same prompts: distances from two sets share no scale."""
    found = registry.plugins("metrics").get(metric)
    return found is not None and not {"reals", "reference"}.isdisjoint(found.load().needs)


def _on(metric: str) -> On:
    """The prompts that a metric is measured on."""
    found = registry.plugins("metrics").get(metric)
    return "dataset" if found is None else found.load().on
