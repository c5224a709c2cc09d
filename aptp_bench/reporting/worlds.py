"""What worlds are called where people read: a name, and what a reader must know of its numbers."""

from __future__ import annotations

NAMES = {"mini": "mini world", "smoke": "mini world, smoke scale", "paper": "paper scale"}
SAID = {
    "mini": "mini world: not comparable with papers",
    "smoke": "mini world, smoke scale: a test that everything runs; its numbers mean little",
    "paper": "paper scale",
}
