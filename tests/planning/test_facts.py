"""Shipped counts are what is counted now, and of another geometry they are not used."""

from __future__ import annotations

from typing import Any

import pytest

from aptp_bench import registry
from aptp_bench.core.costs import StepCost
from aptp_bench.planning import facts
from aptp_bench.planning.facts import Facts, Known, Pass, Row, shipped_for

MODELS = ["mini-sd", "sd21", "mini-faces", "mini-sounds"]
LARGE = ["sd15", "sd21-base", "ldm-celebahq", "audio-diffusion-256"]
BATCH = 16
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
        assert same(shipped.learning(*how), now.learning(*how), within=0.02), how


def test_counts_of_another_geometry_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    stale = shipped_for("mini-sd").model_copy(update={"geometry": "another"})
    monkeypatch.setattr(facts, "shipped_for", lambda model: stale)
    assert not Facts("mini-sd").known.numbers


def test_an_own_number_is_counted_once() -> None:
    known = Facts("mini-sd", shipped=False)
    assert [known.noted("mine", lambda: 3), known.noted("mine", lambda: 4)] == [3, 3]


def test_a_pass_is_kept_whole() -> None:
    kept = Pass.of(Facts("mini-sd").forward(registry.get("models", "mini-sd").latent_size))
    assert Pass.of(Pass.model_validate_json(kept.model_dump_json()).cost()) == kept
    assert Known.model_validate_json(Known(passes={"one": kept}).model_dump_json()).passes["one"] == kept


def same(a: StepCost, b: StepCost, within: float = 0.12) -> bool:
    """Products alike, and what sets the time and the memory of a batch: numbers moved, to the share `within`, and peaks.

    How small operations are split is torch's own affair: beside later ones, 2.6 moves up to a ninth more in a decoder,
    whose features it lays out anew, and a fiftieth in a step.
    """
    kept = ("trained", "cast", "widest")
    return (
        products(a) == products(b)
        and [getattr(a, name) for name in kept] == [getattr(b, name) for name in kept]
        and moved(a) == pytest.approx(moved(b), rel=within)
        and peaks(a) == pytest.approx(peaks(b), rel=0.005)
    )


def products(cost: StepCost) -> list[Row]:
    """Without names, in one order."""
    return sorted(row for row in Pass.of(cost).operations if row[0] != "other")


def moved(cost: StepCost) -> int:
    """Numbers, for a batch."""
    return sum(operation.scaled(BATCH)[1] for operation in cost.operations)


def peaks(cost: StepCost) -> list[int]:
    """Bytes of a batch, and of one that finds the gradients of an earlier one."""
    return [cost.working(BATCH, kept) for kept in (False, True)]
