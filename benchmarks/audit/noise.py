"""Noise from a generator that is seeded anew for every batch: how many images really start from noise of their own."""

from __future__ import annotations

from typing import Any

from aptp_bench.benchmarks.audit.finding import Check, Place, quality, table
from aptp_bench.benchmarks.audit.scene import Scene

BATCHES = (64, 8, 1)  # the authors generate 8 a process


def measure(place: Place) -> dict[str, Any]:
    """The dense mini model, one image a held-out caption: noise of its own for each, or the same for every batch."""
    scene = Scene.of(place, "dense")
    unet, captions = scene.bench.materials.teacher.unet, len(scene.captions)
    facts: dict[str, Any] = {}
    for batch in (captions, *BATCHES):
        numbers = [index % batch for index in range(captions)]
        label = "noise of its own" if batch == captions else f"re-seeded for every batch of {batch}"
        found = scene.quality(scene.sample(unet, numbers, label), label)
        facts[label] = {"noises": len(set(numbers)), "quality": found}
    return {"captions": captions, "ways": facts}


def lines(facts: dict[str, Any]) -> list[str]:
    """The table."""
    ways = facts["ways"]
    names = [name.replace("_", " ") for name in next(iter(ways.values()))["quality"]]
    rows = [
        [label, f"{found['noises']} of {facts['captions']}", *quality(found["quality"])]
        for label, found in ways.items()
    ]
    return table(["dense mini model", "noises", *names], rows)


CHECK = Check("noise", "noise that is seeded anew for every batch", measure, lines)
