from __future__ import annotations

import io
import sys

import pytest

from aptp_bench.core.overall import clock
from aptp_bench.core.progress import PlainProgress, RichProgress, SilentProgress, reporter


@pytest.mark.parametrize("progress", [SilentProgress(), PlainProgress(), RichProgress()])
def test_track_yields_the_items_that_are_left(progress):
    assert list(progress.track(range(5), "label", done=2)) == [2, 3, 4]
    assert list(progress.track([], "label")) == []


def test_plain_lines_tell_how_far_and_how_long(capsys):
    progress = PlainProgress()
    progress.every = progress.brief = 0.0
    list(progress.track(range(4), "encode", done=1))
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith("encode: 2/4, ") and first.endswith(" left")
    assert last.startswith("encode: 4/4")


def test_plain_is_quiet_between_its_lines_and_about_what_is_brief(capsys):
    progress = PlainProgress()
    list(progress.track(range(3), "brief"))
    progress.brief = 0.0
    list(progress.track(range(1000), "encode"))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("encode: 1000/1000")


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
