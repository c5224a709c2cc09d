from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from aptp_bench.records import Record
from aptp_bench.reporting.ranking.entries import entries, evaluation, metric_names, protocol, question, subject

FIRST = Path(__file__).parents[2] / "fixtures" / "record-v1.json"


def test_seeds_of_one_network_group_whatever_their_order(make_record):
    records = [make_record(method, seed) for method in ("a", "b") for seed in (2, 0, 1)]
    random.Random(0).shuffle(records)
    found = {entry.method: entry for entry in entries(records)}
    assert set(found) == {"a", "b"}
    assert all(entry.seeds == (0, 1, 2) and len(entry.of("fid")) == 3 for entry in found.values())


def test_records_of_both_schemas_group_together(make_record):
    old = json.loads(FIRST.read_text(encoding="utf-8"))
    new = json.loads(json.dumps(old)) | {"schema_version": 2, "samples": None}
    new["what"]["seed"] = 1
    new["experts"] = [{**expert, "words": ["red"]} for expert in new["experts"]]
    found = entries([Record.model_validate(old), Record.model_validate(new)])
    assert len(found) == 1 and found[0].seeds == (0, 1)


def test_an_option_that_a_newer_release_added_has_its_default(make_record):
    old, new = make_record("norm", 0), make_record("norm", 1, what={"method_config.order": 2.0})
    defaults = subject(make_record("norm"))["method_config"]
    assert defaults  # of the installed class
    same = make_record("norm", 1, what={"method_config": defaults})
    assert len(entries([old, same])) == 1
    assert defaults["order"] != 2.0 and len(entries([old, new])) == 2
    assert subject(make_record("of_nobody"))["method_config"] == {}


@pytest.mark.parametrize(
    "change",
    [
        {"method": "b"},
        {"budget": 0.5},
        {"world": "smoke"},
        {"what": {"finetune.steps": 7}},
        {"what": {"method_config": {"order": 2}}},
        {"what": {"dataset": "cc3m"}},
        {"what": {"sizes.train": 5}},
        {"what": {"weights": "random"}},
        {"digests": {"model": "other"}},
        {"digests": {"train": "other"}},
        {"what": {"sampling.steps": 5}},
        {"what": {"sizes.val": 5}},
        {"digests": {"val": "other"}},
        {"what": {"backbones.inception": "other"}},
    ],
)
def test_what_makes_another_network_or_evaluation_parts_entries(make_record, change):
    assert len(entries([make_record("a"), make_record(**{"method": "a", "seed": 1, **change})])) == 2


@pytest.mark.parametrize(
    "change", [{"what": {"sampling.batch": 3}}, {"what": {"metrics": ["fid"]}}, {"what": {"finetune.accumulate": 4}}]
)
def test_how_much_is_done_at_once_parts_nothing(make_record, change):
    assert len(entries([make_record("a"), make_record("a", 1, **change)])) == 1


def test_where_a_seed_was_run_twice_the_one_with_most_results_counts(make_record):
    full, part = make_record("a", fid=1.0), make_record("a", fid=2.0, cmmd=None)
    for order in ([full, part], [part, full]):
        assert entries(order)[0].of("fid")[0].value == 1.0
    again = make_record("a", fid=3.0)
    assert entries([full, again])[0].of("fid")[0].value == 3.0


def test_an_entry_is_labelled_by_what_makes_another_network(make_record):
    settings = ["finetune.steps=38", "metrics=[fid]", "sampling.steps=5", "sizes.val=9", "latency.repeats=2"]
    entry = entries([make_record("a", settings=settings)])[0]
    assert entry.changed == ("finetune.steps=38",) and entry.label == "a finetune.steps=38"
    assert entries([make_record("a", settings=["metrics=[fid]"])])[0].label == "a"


def test_names_differ_where_subjects_do_and_not_by_seed(make_record):
    names = [
        entries([make_record("a", seed, what={"finetune.steps": n})])[0].name for seed, n in ((0, 1), (1, 1), (0, 2))
    ]
    assert names[0] == names[1] != names[2]


def test_macs_are_the_mean_over_seeds(make_record):
    records = [make_record("a", seed) for seed in (0, 1)]
    for record, share in zip(records, (0.5, 0.7), strict=True):
        record.macs["exact"] = record.macs["exact"].model_copy(update={"ratio": share})
    assert entries(records)[0].macs("exact") == pytest.approx(0.6)


def test_metrics_come_in_the_order_of_the_records(make_record):
    among = entries([make_record("a", fid=None), make_record("b", latency=None)])
    names = metric_names(among)
    assert names[:3] == ["macs", "parameters", "latency"] and names[-1] == "fid"
    assert sorted(names) == sorted(make_record("a").results)


def test_a_protocol_says_how_and_not_what(make_record):
    fid = protocol(make_record("a", fid=1.0), "fid")
    assert fid == protocol(make_record("b", fid=9.0), "fid") and fid["n"] == 512 and fid["backbone"] == "mini-inception"
    assert "images" not in protocol(make_record("a"), "latency")
    assert evaluation(make_record("a")) == evaluation(make_record("b", 3, budget=0.5))


def test_where_things_lie_and_how_work_is_split_make_no_other_network(make_record):
    """Data and weights are known by their digests, wherever they lay."""
    plain = make_record("aptp")
    moved = make_record(
        "aptp",
        seed=1,
        settings=[
            "encoder=/lab/encoder",
            "accumulate=16",
            "finetune.checkpoint_every=9",
            "dataset_config.root=/lab/coco",
        ],
        what={"weights": "/lab/weights", "method_config.encoder": "/lab/encoder", "method_config.accumulate": 16},
    )
    (entry,) = entries([plain, moved])
    assert entry.seeds == (0, 1) and question(moved.what) == question(plain.what)
    assert entries([moved])[0].changed == ("dataset_config.root=/lab/coco",)  # the mini world's data have no root
    other = make_record("aptp", seed=2, digests={"method:encoder": "f" * 64})
    assert len(entries([plain, moved, other])) == 2
    assert len(entries([plain, make_record("aptp", seed=1, what={"weights": "random"})])) == 2
