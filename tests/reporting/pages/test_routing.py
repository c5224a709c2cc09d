from __future__ import annotations

from typing import Any

from aptp_bench.harness.oracle import OracleGain
from aptp_bench.reporting.oracle import Realised
from aptp_bench.reporting.pages import routing


def test_every_number_that_aptp_gives_has_a_meaning(finished: Any) -> None:
    from aptp_bench.reporting.figures.facts import facts_of

    record = facts_of(finished("aptp")).record
    assert set(record.diagnostics) <= set(routing.MEANINGS) and len(record.diagnostics) > 4
    assert [value for _, value in routing.lines(record)] == [f"{v:.3f}" for v in record.diagnostics.values()]
    strange = record.model_copy(update={"diagnostics": {"entropy": 1.5}})
    assert routing.lines(strange) == [("entropy", "1.500")]


def test_the_steps_of_each_expert_are_said(make_record: Any) -> None:
    record = make_record("aptp")
    expert = record.experts[0]
    both = record.model_copy(update={"experts": [expert.model_copy(update={"train_prompts": n}) for n in (10, 30)]})

    def said(**tuning: Any) -> str:
        what = both.what.model_copy(update={"finetune": {"steps": 400, **tuning}})
        return routing.tuning(both.model_copy(update={"what": what}))

    assert "100 to 300 an expert, 400 in all" in said(share="total")
    assert "400 an expert, 800 in all" in said(share="each")
    assert routing.tuning(record.model_copy(update={"experts": [expert]})) == ""


def test_what_could_be_won_is_said_with_the_share_that_was() -> None:
    found = OracleGain.model_construct(finetune_steps=300, by="kind", method="norm")
    text = " ".join(routing.oracle(Realised(found, 0.5, 0.12, 0.03)))
    assert "12.0%" in text and "25%" in text and "300 steps" in text and "0.500" in text
    assert "%" in routing.oracle(Realised(found, 0.5, 0.0, -0.01))[1]
