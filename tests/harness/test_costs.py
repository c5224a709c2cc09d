from __future__ import annotations

import pytest

from aptp_bench.harness.costs import experts_of, macs_of, network_facts, parameters_of
from aptp_bench.models.call_plan import ImageCalls

DENSE = {"macs": {"exact": 100, "aptp": 200, "modules": 50}, "parameters": 1000}
FACTS = {
    "dense": DENSE,
    "experts": [
        {"macs": {"exact": 60, "aptp": 100, "modules": 25}, "parameters": 600, "train_prompts": 1},
        {"macs": {"exact": 80, "aptp": 160, "modules": 45}, "parameters": 900, "train_prompts": 3},
    ],
}


def test_means_are_weighted_by_the_prompts_each_expert_serves():
    experts = experts_of(FACTS, [0, 0, 0, 1], ["a cat", "two cats", "a cat", "boats"])
    macs = macs_of(experts, DENSE)
    assert macs["exact"].model_dump() == {"dense": 100, "pruned": 65.0, "ratio": 0.65, "train_ratio": 0.75}
    assert macs["aptp"].ratio == pytest.approx((3 * 100 + 160) / 4 / 200)
    assert parameters_of(experts, DENSE).model_dump() == {"dense": 1000, "stored": 1500, "per_image": 675}
    assert [(e.train_prompts, e.eval_prompts) for e in experts] == [(1, 3), (3, 1)]
    assert [e.words for e in experts] == [["cat", "cats"], ["boats"]]


def test_an_expert_without_evaluation_prompts_is_listed():
    experts = experts_of(FACTS, [0, 0], ["a", "b"])
    assert [e.eval_prompts for e in experts] == [2, 0]
    assert macs_of(experts, DENSE)["exact"].ratio == 0.6


def test_facts_of_a_network_are_whole_numbers(tiny):
    facts = network_facts(tiny.unet, 4, 77)
    assert all(isinstance(value, int) and value > 0 for value in [*facts["macs"].values(), facts["parameters"]])
    assert facts["parameters"] == sum(p.numel() for p in tiny.unet.parameters())


def test_calls_that_are_not_made_cost_nothing_and_parameters_stay(tiny):
    whole, half = (network_facts(tiny.unet, 4, 77, ImageCalls((True,) * 4, asked)) for asked in (4, 8))
    assert whole == network_facts(tiny.unet, 4, 77)
    assert half["parameters"] == whole["parameters"]
    assert {name: round(n / 2) for name, n in whole["macs"].items()} == half["macs"]
