from __future__ import annotations

from typing import Any

from aptp_bench import registry
from aptp_bench.reporting.figures.looks import PALETTE, REFERENCE, SHAPES, looks, looks_of
from aptp_bench.reporting.ranking.entries import entries

OURS = [name for name, found in registry.plugins("methods").items() if found.provider == "aptp-bench"]


def test_our_methods_differ_in_colour_and_in_marker() -> None:
    made_here = [name for name in OURS if registry.get("methods", name).published_as is None]
    for part in zip(*looks(made_here).values(), strict=True):
        assert len(set(part)) == len(made_here)
    assert len(set(looks(OURS).values())) == len(OURS)


def test_many_methods_differ_and_the_network_as_it_is_has_its_own(make_record: Any) -> None:
    found = looks_of(entries([make_record(f"m{i:02}") for i in range(30)] + [make_record("dense", budget=1.0)]))
    assert found["dense"] == REFERENCE and len(set(found.values())) == 31
    assert {colour for colour, _ in found.values()} - {REFERENCE[0]} <= set(PALETTE)
    assert REFERENCE[0] not in PALETTE and REFERENCE[1] not in SHAPES


def test_a_method_looks_the_same_whoever_else_is_drawn() -> None:
    together = looks([*OURS, "mine"])
    assert all(looks(iter([name])) == {name: together[name]} for name in OURS)
