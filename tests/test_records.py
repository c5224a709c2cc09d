from __future__ import annotations

import functools
import json
import random
import warnings
from pathlib import Path

import pytest

from aptp_bench import records
from aptp_bench.errors import ConfigError
from aptp_bench.records import Measurement
from aptp_bench.reporting.pages.leaderboard_files import Publication
from aptp_bench.reporting.ranking.frame import load_records

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


def test_a_key_that_stands_twice_is_refused(record, tmp_path):
    path = records.save(record(), tmp_path)
    path.write_text(path.read_text().replace('"value":', '"value": 0.5, "value":', 1))
    with pytest.raises(ConfigError, match="'value' stands there twice"):
        records.load(path)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_lacks_is_refused_wherever_it_stands(record, tmp_path, word):
    """Python writes it; pages that hold it are read by nobody."""
    path = records.save(record(), tmp_path)
    path.write_text(path.read_text().replace('"detail": {', f'"detail": {{"odd": {word}, ', 1).replace(", }", "}"))
    assert word in path.read_text()
    with pytest.raises(ConfigError, match=word):
        records.load(path)


def test_a_number_that_is_not_one_is_no_result():
    with pytest.raises(ValueError, match="finite"):
        Measurement(value=float("nan"), unit="", better="lower", n=1)


@pytest.mark.parametrize("name", ["../../up", "a/b", "a|b", "<i>", "", ".", "a\nb", "x" * 300])
@pytest.mark.parametrize("key", ["method", "dataset", "model", "prompts"])
def test_names_that_no_plugin_and_no_file_can_have_are_refused(record, tmp_path, key, name):
    document = record().model_dump(mode="json")
    document["what"][key] = name
    (tmp_path / "x.json").write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=rf"what\.{key}"):
        records.load(tmp_path / "x.json")


def places(node, at=()):
    """The path of every value of a document; of a list its first alone."""
    inner = node.items() if isinstance(node, dict) else list(enumerate(node))[:1] if isinstance(node, list) else ()
    for key, value in inner:
        yield (*at, key)
        yield from places(value, (*at, key))


def test_an_edited_record_is_left_out_by_name_or_its_pages_are_still_made(make_record, tmp_path):
    whole = make_record("norm").model_dump(mode="json")
    good = records.save(make_record("random", fid=4.0), tmp_path)
    bad = good.with_name("bad.json")
    drawn = random.Random(0)
    for place in drawn.sample(list(places(whole)), 60):
        document = json.loads(json.dumps(whole))
        holder = functools.reduce(lambda node, key: node[key], place[:-1], document)
        holder[place[-1]] = drawn.choice([None, "x", "", -1, 0, 1e300, [], {}, [None], True, "1", "a\n<b>"])
        bad.write_text(json.dumps(document))
        found, malformed = records.load_all(tmp_path)
        assert good in found and found.keys() | malformed.keys() == {good, bad}
        assert Publication.of(tmp_path).pages
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is left out is said
            assert len(load_records(tmp_path)) == len(found)


@pytest.mark.parametrize(("key", "value"), [("date", "9999-99-99"), ("date", "2026-02-30"), ("threads", -1)])
def test_a_record_of_no_day_and_of_no_threads_is_left_out(record, tmp_path, key, value):
    document = record().model_dump(mode="json")
    document["how"][key] = value
    path = tmp_path / "records" / "x.json"
    path.parent.mkdir()
    path.write_text(json.dumps(document))
    assert not records.load_all(tmp_path)[0] and f"how.{key}" in records.load_all(tmp_path)[1][path]


@pytest.mark.parametrize(
    ("key", "value"),
    [("macs", {}), ("experts", []), ("ratio", 0.5), ("pruned", 1.0), ("dense", 0), ("stored", None), ("aptp", None)],
)
def test_counts_that_do_not_agree_are_refused(record, tmp_path, key, value):
    document = record().model_dump(mode="json")
    holders = [document, document["macs"]["exact"], document["parameters"], document["experts"][0]["macs"]]
    next(holder for holder in holders if key in holder)[key] = value
    (tmp_path / "x.json").write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="not a readable record"):
        records.load(tmp_path / "x.json")


def test_a_record_of_version_1_is_still_read():
    old = json.loads(FIRST.read_text(encoding="utf-8"))
    found = records.load(FIRST)
    assert old["schema_version"] == 1 and found.schema_version == 3
    again = found.model_dump(mode="json")
    assert again.pop("samples") is None and again.pop("replicates") is None
    assert again["how"].pop("source") == {} and again.pop("calls") == {}
    assert again["how"].pop("processes") == [] and again["how"].pop("precision") == again["how"].pop("date") == ""
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


def test_replicates_are_of_one_seed(tmp_path, make_record):
    """A copied record would stand on a board as another seed."""
    kept = records.Replicates(metrics=["fid"], sha256="0" * 64)
    for seed in (0, 1):
        records.save(make_record("norm", seed=seed).model_copy(update={"replicates": kept}), tmp_path)
    found, malformed = records.load_all(tmp_path)
    assert len(found) == len(malformed) == 1


def test_an_interval_begins_before_it_ends(make_record):
    with pytest.raises(ValueError, match="interval"):
        make_record("norm", fid=(3.0, 9.0, 1.0))


def test_the_committed_records_are_called_by_what_they_say(tracked):
    """A setting that is new must not rename what was run before it: figures and comparisons look for runs by their names."""
    for path, found in records.load_all(tracked / "results")[0].items():
        assert f"{records.run_name(found.what)}.json" == path.name
