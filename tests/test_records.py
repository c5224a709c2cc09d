from __future__ import annotations

import json
from pathlib import Path

import pytest

from aptp_bench import records
from aptp_bench.errors import ConfigError
from aptp_bench.records import Measurement

FIRST = Path(__file__).parent / "fixtures" / "record-v1.json"


@pytest.fixture
def record(make_record):
    """record(**what) -> a record of this recipe."""
    return lambda **what: make_record("norm", what=what)


def test_a_record_comes_back_as_it_was_saved(record, tmp_path):
    path = records.save(record(), tmp_path)
    assert path == tmp_path / "records" / "norm-coco-0.78exact-seed0-mini.json"
    assert records.load(path) == record()
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_runs_with_other_settings_do_not_overwrite_each_other(record, tmp_path):
    paths = {records.save(record(settings=settings), tmp_path) for settings in ([], ["a=1"], ["a=2"])}
    paths.add(records.save(record(weights="random"), tmp_path))
    assert len(paths) == 4
    assert records.save(record(settings=["a=1"]), tmp_path) in paths


@pytest.mark.parametrize("text", ["{", "{}", '{"schema_version": 4}', "[1]"])
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
    assert old["schema_version"] == 1 and found.schema_version == 3
    again = found.model_dump(mode="json")
    assert again.pop("samples") is None and again.pop("replicates") is None
    assert again["how"].pop("source") == {} and again.pop("calls") == {}
    assert again.pop("diagnostics") == {} and again.pop("task") == "text-to-image"
    assert not any(expert.pop("words") for expert in again["experts"])
    assert again | {"schema_version": 1} == old  # nothing lost, nothing changed


def test_a_record_of_version_2_is_still_read(record, tmp_path):
    kept = record()
    old = kept.model_dump(mode="json", exclude={"replicates"}) | {"schema_version": 2}
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert records.load(tmp_path / "old.json") == kept and kept.replicates is None


def test_replicates_are_one_a_prompt_and_stay_out_of_the_document():
    found = Measurement(value=2.0, unit="", better="lower", n=2, replicates=(1.0, 3.0))
    assert "replicates" not in found.model_dump(mode="json")
    with pytest.raises(ValueError, match="1 replicates for n = 2"):
        Measurement(value=2.0, unit="", better="lower", n=2, replicates=(1.0,))
    with pytest.raises(ValueError, match="finite"):
        Measurement(value=2.0, unit="", better="lower", n=1, replicates=(float("inf"),))


def test_records_are_listed_and_what_is_none_is_named(record, tmp_path):
    good = records.save(record(), tmp_path)
    (bad := good.with_name("bad.json")).write_text('{"schema_version": 2}')
    found, malformed = records.load_all(tmp_path)
    assert found == {good: record()} and list(malformed) == [bad]
    assert "bad.json is not a readable record (world: Field required)" in malformed[bad]
    assert records.load_all(tmp_path / "nothing") == ({}, {})
