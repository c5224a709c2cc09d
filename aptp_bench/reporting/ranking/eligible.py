"""Which records stand on boards: of a clean source, and of one source among those that are compared. The rest stands apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from aptp_bench.records import Record
from aptp_bench.reporting.ranking.entries import Entry
from aptp_bench.reporting.ranking.groups import group_key

SHORT = 8  # characters of a commit


class Apart(NamedTuple):
    """A record that is on no board, and why."""

    record: Record
    why: str


def parted(records: Iterable[Record]) -> tuple[list[Record], list[Apart]]:
    """(the records that boards are made from, the others with the reason), in their order.

    Where records of one group were made by different sources, those of the source that most have are taken, counted over
    those of the recipes' settings if there are any: variants, which are not ranked, do not outvote what is. A source is
    compared stage by stage, by its digest; a commit stands for it where no record of the group keeps digests.
    """
    found = list(records)
    clean = [record for record in found if not _unclean(record)]
    groups: dict[object, list[Record]] = {}
    for record in clean:
        groups.setdefault(group_key(Entry((record,))), []).append(record)
    why = {id(record): _unclean(record) for record in found}
    for group in groups.values():
        known = any(record.how.source for record in group)
        made = {id(record): _stages(record) if known else _commit(record) for record in group}
        plain = [made[id(record)] for record in group if not Entry((record,)).changed]
        usual = {**_usual(made.values()), **_usual(plain)}
        why |= {id(record): _otherwise(record, made[id(record)], usual, known) for record in group}
    taken = [record for record in found if not why[id(record)]]
    return taken, [Apart(record, why[id(record)]) for record in found if why[id(record)]]


def _unclean(record: Record) -> str:
    if record.how.commit is None:
        return "the commit of its source is unknown; install from a clone and run again"
    if record.how.dirty is None:
        return "whether its source had changes is unknown; run again from a clone that git can read"
    return "its source had changes that no commit has; commit them and run again" if record.how.dirty else ""


def _stages(record: Record) -> dict[str, str]:
    """Stage -> digest of its source; pruning is every method's own."""
    method = record.what.method
    return {f"prune of {method}" if name == "prune" else name: digest for name, digest in record.how.source.items()}


def _commit(record: Record) -> dict[str, str]:
    return {"commit": str(record.how.commit)[:SHORT]}


def _usual(made: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """What most have, stage by stage; the first among equals."""
    counts: dict[str, Counter[str]] = {}
    for sources in made:
        for stage, digest in sources.items():
            counts.setdefault(stage, Counter())[digest] += 1
    return {stage: digests.most_common(1)[0][0] for stage, digests in counts.items()}


def _otherwise(record: Record, made: Mapping[str, str], usual: Mapping[str, str], known: bool) -> str:
    if not made:
        return "it does not say what source made it, as others here do; run again"
    other: Sequence[str] = [stage for stage, digest in made.items() if usual[stage] != digest]
    if not other:
        return ""
    if known:
        return (
            f"other source than most here made {', '.join(other)} (commit {str(record.how.commit)[:SHORT]}); run again"
        )
    return f"it is of commit {made['commit']}, most here are of {usual['commit']}; run again"
