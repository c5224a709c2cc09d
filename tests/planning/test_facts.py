"""Shipped counts are what is counted now, and of another geometry they are not used."""

from __future__ import annotations

from typing import Any

import pytest

from aptp_bench import registry
from aptp_bench.core.costs import StepCost
from aptp_bench.planning import facts
from aptp_bench.planning.facts import Facts, Known, Pass, shipped_for

MODELS = ["mini-sd", "sd21", "mini-faces", "mini-sounds"]
LARGE = ["sd15", "sd21-base", "ldm-celebahq", "audio-diffusion-256"]
ASKED: dict[str, Any] = {
    "forward": lambda facts, size: facts.forward(size),
    "decode": lambda facts, size: facts.decoding(size),
    "encode": lambda facts, pixels: facts.encoding(pixels),
}


@pytest.mark.parametrize("model", [*MODELS, *(pytest.param(each, marks=pytest.mark.slow) for each in LARGE)])
def test_shipped_passes_are_what_is_counted_now(model: str) -> None:
    shipped, now = Facts(model), Facts(model, shipped=False)
    asked = [key.split() for key in shipped.known.passes if key.split()[0] in ASKED]
    assert {kind for kind, _ in asked} == ASKED.keys()
    for kind, size in asked:
        assert same(ASKED[kind](shipped, int(size)), ASKED[kind](now, int(size))), (kind, size)
    reads = registry.get("models", model).reads_prompts()
    assert not reads or same(shipped.reading(), now.reading())
    for part in ("unet", "vae", *["text_encoder"] * reads):
        assert shipped.parameters(part) == now.parameters(part)
    for what in ("latent", *["text"] * reads):
        assert shipped.numbers_of(what) == now.numbers_of(what)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mini-sd", "sd21", "mini-sounds"])
def test_shipped_steps_are_what_is_counted_now(model: str) -> None:
    shipped, now = Facts(model), Facts(model, shipped=False)
    steps = [key.split() for key in shipped.known.passes if key.split()[0] in ("weights", "gates")]
    asked = {(learns, "taught" in words, int(size), "checkpointing" in words) for learns, *words, size in steps}
    assert {learns for learns, *_ in asked} == {"weights", *["gates"] * registry.get("models", model).reads_prompts()}
    # four of eight, in which each two of the three choices meet; what one model leaves out the other counts
    half = [how for how in asked if ((how[0] == "gates") + how[1] + how[3]) % 2 == (model == "sd21")]
    assert len(half) == len(asked) // 2
    for how in half:
        assert same(shipped.learning(*how), now.learning(*how)), how


def test_counts_of_another_geometry_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    stale = shipped_for("mini-sd").model_copy(update={"geometry": "another"})
    monkeypatch.setattr(facts, "shipped_for", lambda model: stale)
    assert not Facts("mini-sd").known.numbers


def test_an_own_number_is_counted_once() -> None:
    known = Facts("mini-sd", shipped=False)
    assert [known.noted("mine", lambda: 3), known.noted("mine", lambda: 4)] == [3, 3]


def test_a_pass_is_kept_whole() -> None:
    cost = Facts("mini-sd").forward(registry.get("models", "mini-sd").latent_size)
    assert same(Pass.model_validate_json(Pass.of(cost).model_dump_json()).cost(), cost)
    assert Known.model_validate_json(Known(passes={"one": Pass.of(cost)}).model_dump_json()).passes["one"] == Pass.of(
        cost
    )


def same(a: StepCost, b: StepCost) -> bool:
    """Alike but for the names and the order of operations."""
    one, other = Pass.of(a), Pass.of(b)
    alike = sorted(one.operations) == sorted(other.operations)
    return alike and one.model_copy(update={"operations": ()}) == other.model_copy(update={"operations": ()})
