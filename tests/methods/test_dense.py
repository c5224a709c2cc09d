from __future__ import annotations

from types import SimpleNamespace

import pytest

from aptp_bench.budget import Budget
from aptp_bench.errors import BudgetError
from aptp_bench.methods.dense import Dense


def test_the_teacher_serves_every_prompt(tiny):
    mixture = Dense().prune(SimpleNamespace(teacher=tiny, budget=Budget.of(1.0)))
    assert len(mixture) == 1 and mixture.experts[0] is tiny.unet
    assert mixture.route(["a", "b"]).tolist() == [0, 0]


def test_any_other_budget_is_refused(tiny):
    with pytest.raises(BudgetError, match=r"budget of 0\.78; use --budget 1"):
        Dense().prune(SimpleNamespace(teacher=tiny, budget=Budget.of(0.78)))
