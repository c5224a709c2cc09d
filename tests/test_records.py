from __future__ import annotations

import json
from pathlib import Path

import pytest

from aptp_bench import records
from aptp_bench.errors import ConfigError
from aptp_bench.records import Expert, Measurement, Provenance, Record

FIRST = Path(__file__).parent / "fixtures" / "record-v1.json"


def record(**what) -> Record:
    facts = {"dense": 2.0, "pruned": 1.0, "ratio": 0.5, "train_ratio": 0.5}
    base = {"method": "m", "dataset": "d", "budget": {"ratio": 0.5, "convention": "exact"}, "seed": 1}
    return Record(
        world="mini",
        what={**base, **what},
        macs={"exact": facts},
        parameters={"dense": 2, "stored": 1, "per_image": 1},
        experts=[Expert(macs={"exact": 1}, parameters=1, train_prompts=3, eval_prompts=2)],
        results={"fid": Measurement(value=1.5, unit="", better="lower", n=2, interval=(1.0, 2.0))},
        how=Provenance(
            command="c", versions={}, commit=None, dirty=None, device="cpu", threads=1, seconds={}, digests={}
        ),
    )


def test_a_record_comes_back_as_it_was_saved(tmp_path):
    path = records.save(record(), tmp_path)
    assert path == tmp_path / "records" / "m-d-0.5exact-seed1-mini.json"
    assert records.load(path) == record()
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_runs_with_other_settings_do_not_overwrite_each_other(tmp_path):
    paths = {records.save(record(settings=settings), tmp_path) for settings in ([], ["a=1"], ["a=2"])}
    paths.add(records.save(record(weights="random"), tmp_path))
    assert len(paths) == 4
    assert records.save(record(settings=["a=1"]), tmp_path) in paths


@pytest.mark.parametrize("text", ["{", "{}", '{"schema_version": 3}', "[1]"])
def test_what_is_no_record_is_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ConfigError, match=r"x\.json is not a readable record"):
        records.load(tmp_path / "x.json")


def test_a_number_that_is_not_one_is_no_result():
    with pytest.raises(ValueError, match="finite"):
        Measurement(value=float("nan"), unit="", better="lower", n=1)


def test_a_record_of_version_1_is_still_read():
    old = json.loads(FIRST.read_text(encoding="utf-8"))
    found = records.load(FIRST)
    assert old["schema_version"] == 1 and found.schema_version == records.SCHEMA_VERSION
    again = found.model_dump(mode="json")
    assert again.pop("samples") is None and not any(expert.pop("words") for expert in again["experts"])
    assert again | {"schema_version": 1} == old  # nothing lost, nothing changed


def test_records_are_listed_and_what_is_none_is_named(tmp_path):
    good = records.save(record(), tmp_path)
    (bad := good.with_name("bad.json")).write_text('{"schema_version": 2}')
    found, malformed = records.load_all(tmp_path)
    assert found == {good: record()} and list(malformed) == [bad]
    assert "bad.json is not a readable record (world: Field required)" in malformed[bad]
    assert records.load_all(tmp_path / "nothing") == ({}, {})
