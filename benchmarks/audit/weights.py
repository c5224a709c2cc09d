"""Where SD 2.1's weights can be had: the hub ids this suite tries, and, if asked, what the hub says of them."""

from __future__ import annotations

import os
from typing import Any

from aptp_bench import registry
from aptp_bench.benchmarks.audit.finding import Check, Place, table
from aptp_bench.models.weights import downloads_allowed

MODELS = ("sd21", "sd21-base")


def measure(place: Place) -> dict[str, Any]:
    """The ids in the order in which they are tried; the hub is asked only where downloads are allowed."""
    from huggingface_hub import HfApi

    ids = {name: list(registry.get("models", name).hub_ids) for name in MODELS}
    asked = downloads_allowed() and not os.environ.get("HF_HUB_OFFLINE")
    found = {each: HfApi().repo_exists(each) if asked else None for own in ids.values() for each in own}
    return {"hub_ids": ids, "on_the_hub": found}


def lines(facts: dict[str, Any]) -> list[str]:
    """The table."""
    said = {True: "there", False: "not there", None: "not asked"}
    rows = [
        [f"`{name}`", f"`{each}`", said[facts["on_the_hub"][each]]]
        for name, ids in facts["hub_ids"].items()
        for each in ids
    ]
    return table(["model", "hub ids, in the order in which they are tried", "the hub, when this page was made"], rows)


CHECK = Check("weights", "SD 2.1 was withdrawn from its hub", measure, lines)
