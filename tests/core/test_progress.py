from __future__ import annotations

import io
import sys

import pytest

from aptp_bench.core.progress import PlainProgress, RichProgress, SilentProgress, clock, reporter


@pytest.mark.parametrize("progress", [SilentProgress(), PlainProgress(io.StringIO()), RichProgress()])
def test_track_yields_the_items_that_are_left(progress):
    assert list(progress.track(range(5), "label", done=2)) == [2, 3, 4]
    assert list(progress.track([], "label")) == []


def test_plain_lines_tell_how_far_and_how_long():
    stream = io.StringIO()
    list(PlainProgress(stream, every=0.0, brief=0.0).track(range(4), "encode", done=1))
    first, *_, last = stream.getvalue().splitlines()
    assert first.startswith("encode: 2/4, ") and first.endswith(" left")
    assert last.startswith("encode: 4/4")


def test_plain_is_quiet_between_its_lines_and_about_what_is_brief():
    stream = io.StringIO()
    list(PlainProgress(stream, every=60.0, brief=0.0).track(range(1000), "encode"))
    assert len(stream.getvalue().splitlines()) == 1
    list(PlainProgress(stream).track(range(3), "brief"))
    assert "brief" not in stream.getvalue()


def test_bars_inside_bars_share_one_display_and_it_ends(capfd):
    progress = RichProgress()
    for _ in progress.track(range(2), "outer"):
        assert list(progress.track(range(3), "inner")) == [0, 1, 2]
        progress.say("a line [not markup]")
    assert not progress.bars.live.is_started
    assert progress.bars.tasks == []
    out, err = capfd.readouterr()
    assert out == "" and "a line [not markup]" in err


def test_a_bar_ends_when_its_loop_is_left():
    progress = RichProgress()
    for _ in progress.track(range(3), "outer"):
        break
    assert not progress.bars.live.is_started


def test_bars_are_for_terminals(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(reporter(), PlainProgress)


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (59.4, "59s"), (192, "3m12s"), (7500, "2h05m")])
def test_clock(seconds, text):
    assert clock(seconds) == text
