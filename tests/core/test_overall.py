from __future__ import annotations

import pytest

from aptp_bench.core.overall import Overall, clock


def test_time_left_goes_by_what_stages_usually_take_and_by_those_that_were_made():
    run = Overall({"pairs": 1.0, "prune": 3.0, "finetune": 6.0})
    assert run.left is None and run.passed == 0
    assert run.end("pairs", 0.01) and run.left is None  # it was read, and says nothing of the others
    assert run.end("prune", 30.0)
    assert run.left == pytest.approx(60.0) and run.passed == pytest.approx(4.0) and run.total == pytest.approx(10.0)
    assert "2 of 3 stages" in run.said and clock(60) in run.said


def test_what_is_no_stage_of_the_run_or_was_over_before_does_not_count():
    run = Overall({"prune": 1.0})
    assert run.end("prune", 2.0) and not run.end("prune", 2.0) and not run.end("other", 2.0)
    assert run.left == 0 and "left" not in run.said
