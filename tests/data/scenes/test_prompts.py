"""PartiPrompts-like prompts: 192, all different, in the captions' words, asking for what no scene shows."""

from __future__ import annotations

import re

from aptp_bench.data.scenes import captions, prompts, sample
from aptp_bench.data.scenes.catalog import CATALOG, RESERVED, WORLDS

PARTI_CATEGORIES = {
    "Abstract", "Animals", "Artifacts", "Arts", "Food & Beverage", "Illustrations", "Indoor Scenes",
    "Outdoor Scenes", "People", "Produce & Plants", "Vehicles", "World Knowledge",
}  # fmt: skip
PARTI_CHALLENGES = {
    "Basic", "Complex", "Fine-grained Detail", "Imagination", "Linguistic Structures", "Perspective",
    "Properties & Positioning", "Quantity", "Simple Detail", "Style & Format", "Writing & Symbols",
}  # fmt: skip


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def test_192_different_prompts_the_same_each_time() -> None:
    assert prompts() == prompts()
    assert len({p.prompt for p in prompts()}) == len(prompts()) == 192
    assert prompts(0) != prompts(1)


def test_labels_are_those_of_partiprompts() -> None:
    assert {p.category for p in prompts()} <= PARTI_CATEGORIES
    assert {p.challenge for p in prompts()} <= PARTI_CHALLENGES


def test_no_prompt_is_a_caption() -> None:
    written = {" ".join(_words(c)) for w in WORLDS for i in range(3_000) for c in captions(sample(w, 0, i))}
    assert not [p.prompt for p in prompts() if " ".join(_words(p.prompt)) in written]


def test_every_word_is_a_word_of_the_captions() -> None:
    known = {word for w in WORLDS for i in range(3_000) for c in captions(sample(w, 0, i)) for word in _words(c)}
    for seed in range(3):
        assert {word for p in prompts(seed) for word in _words(p.prompt)} <= known


def test_every_reserved_pair_is_asked_for() -> None:
    asked = [p.prompt for p in prompts() if p.challenge in ("Simple Detail", "Imagination")]
    assert len(asked) == len(RESERVED)
    for subject, _ in RESERVED:
        assert any(subject in text for text in asked)


def test_most_prompts_join_two_subjects_and_run_long() -> None:
    names = sorted(CATALOG, key=len, reverse=True)
    joined = [p for p in prompts() if sum(name in p.prompt for name in names) >= 2]
    assert len(joined) > 100
    assert max(len(p.prompt.split()) for p in prompts()) > 15
