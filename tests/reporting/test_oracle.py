from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from aptp_bench.errors import BudgetError, DataError
from aptp_bench.harness.oracle import Kind, OracleGain, save
from aptp_bench.reporting import oracle
from aptp_bench.reporting.figures.facts import facts_of

CUTS = (0.8, 0.5, 0.2)


@pytest.fixture
def measured(make_record: Any) -> Any:
    """measured(kinds, **changes) -> what a command found: kinds by how fast their damage rises."""
    how = make_record("norm").how

    def make(kinds: dict[str, float], **changes: Any) -> OracleGain:
        rows = [
            Kind(name=name, pairs=50, error=0.1, damages=tuple(hard * (1 - cut) ** 2 for cut in CUTS), standard_errors=(0, 0, 0))
            for name, hard in kinds.items()
        ]  # fmt: skip
        facts = {"world": "smoke", "model": "mini-sd", "dataset": "coco", "by": "kind", "method": "norm"}
        facts |= {"convention": "exact", "finetune_steps": 0, "steps": 8, "cuts": CUTS, "kinds": rows, "gains": ()}
        return OracleGain(**{**facts, "how": how, **changes})

    return make


def test_sizes_as_the_oracles_realise_all_and_uniform_ones_nothing(measured: Any) -> None:
    found = measured({"easy": 1.0, "hard": 3.0})
    labels = ["easy", "hard"] * 10
    best = oracle.realised(found, labels, [0.25, 0.75] * 10)  # 1 - r as 3 to 1: what x ~ 1 / hardness asks for
    assert (
        best.mean == 0.5 and best.share == pytest.approx(1.0, abs=0.01) and best.oracle == pytest.approx(0.25, abs=0.01)
    )
    flat = oracle.realised(found, labels, [0.5] * 20)
    assert flat.gain == pytest.approx(0.0, abs=1e-9) and flat.oracle == pytest.approx(best.oracle)
    assert oracle.realised(found, labels, [0.75, 0.25] * 10).share < 0


def test_where_kinds_are_alike_there_is_nothing_to_realise(measured: Any) -> None:
    found = oracle.realised(measured({"a": 2.0, "b": 2.0}), ["a", "b"], [0.3, 0.7])
    assert found.oracle == pytest.approx(0.0, abs=1e-9) and found.gain < 0


def test_rare_kinds_are_known_together(measured: Any) -> None:
    found = measured({"a": 1.0, "(rare)": 2.0})
    assert oracle.realised(found, ["a", "unheard of"], [0.4, 0.6]).gain > 0
    with pytest.raises(DataError, match="unheard of"):
        oracle.realised(measured({"a": 1.0, "b": 2.0}), ["a", "unheard of"], [0.4, 0.6])
    with pytest.raises(BudgetError, match="leaner"):
        oracle.realised(found, ["a", "a"], [0.1, 0.9])


def test_a_run_finds_what_was_measured_of_its_own_world(finished: Any, measured: Any, tmp_path: Path) -> None:

    folder = shutil.copytree(finished("aptp").parent, tmp_path / "runs") / finished("aptp").name
    facts = facts_of(folder)
    with pytest.raises(DataError, match="oracle_gain --dataset coco"):
        oracle.of_run(facts)
    digests = facts.record.how.digests
    how = facts.record.how
    kinds = {kind: 1.0 + i for i, kind in enumerate(["animal", "vehicle", "(rare)"])}
    save(
        measured(kinds, method="random", how=how.model_copy(update={"digests": digests | {"model": "other"}})),
        folder.parent,
    )
    with pytest.raises(DataError):
        oracle.of_run(facts)
    save(measured(kinds, how=how), folder.parent)
    save(measured(kinds, how=how, finetune_steps=2), folder.parent)
    found = oracle.of_run(facts)
    assert found.found.finetune_steps == 2  # as many as the run's are nearest to it
    assert found.mean == pytest.approx(facts.record.macs["exact"].ratio)
