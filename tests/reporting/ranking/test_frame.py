from __future__ import annotations

import math

import pytest

from aptp_bench import records
from aptp_bench.reporting.ranking.frame import load_records


def test_a_row_a_record_and_what_belongs_together_says_so(make_record, tmp_path):
    for record in (
        make_record("a", 0, fid=(3.0, 2.0, 4.5)),
        make_record("a", 1, latency=None),
        make_record("b", budget=0.5),
    ):
        records.save(record, tmp_path)
    frame = load_records(tmp_path)
    assert list(frame.method) == ["a", "a", "b"] and list(frame.seed) == [0, 1, 0]
    assert frame.entry[0] == frame.entry[1] != frame.entry[2]
    assert (frame.world == "mini").all() and list(frame.budget) == [0.78, 0.78, 0.5] and (frame.experts == 8).all()
    first = frame.iloc[0]
    assert (first.fid, first.fid_low, first.fid_high, first.fid_n) == (3.0, 2.0, 4.5, 512)
    assert first.macs_exact == 0.78 and first.record == "a-coco-0.78exact-seed0-mini" and first.steps == 300
    assert math.isnan(frame.latency[1]) and math.isnan(first.parameters_low)


def test_what_is_no_record_is_named_and_left_out(make_record, tmp_path):
    records.save(make_record("a"), tmp_path)
    (tmp_path / "records" / "broken.json").write_text("{")
    with pytest.warns(UserWarning, match=r"broken\.json is not a readable record"):
        assert len(load_records(tmp_path)) == 1


def test_a_record_that_another_replaces_keeps_its_row(make_record, tmp_path):
    records.save(make_record("a"), tmp_path)
    records.save(make_record("a", settings=["metrics=[fid]"], cmmd=None), tmp_path)
    frame = load_records(tmp_path)
    assert len(frame) == 2 and frame.entry.nunique() == 1
