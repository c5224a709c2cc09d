"""What may be played: the closed sets of labels, and what each label means in hertz, events and partials.

The order of the names is the order of the class labels and never changes. Not all of them can be heard in all sounds: of a
sweep in the high register one partial is in range, whatever its timbre and brightness.
"""

from __future__ import annotations

KINDS: tuple[str, ...] = ("drum loop", "arpeggio", "chord", "sweep", "pluck")
PITCHED: frozenset[str] = frozenset({"arpeggio", "chord", "pluck"})  # kinds with a root; the others' pitch is "none"

# Whole tones: at 300 Hz two of them are one Mel band of the mini world apart, and their partials several.
PITCHES: tuple[str, ...] = ("c", "d", "e", "f sharp", "g sharp", "a sharp")
REGISTERS: dict[str, float] = {"low": 130.81, "middle": 261.63, "high": 523.25}  # Hz of c
TEMPOS: tuple[str, ...] = ("slow", "medium", "fast")
EVENTS: dict[
    str, tuple[int, int, int]
] = {  # how many steps, notes, strikes, glides or strokes a clip has at each tempo
    "drum loop": (8, 12, 16),
    "arpeggio": (4, 7, 12),
    "chord": (1, 2, 4),
    "sweep": (1, 2, 4),
    "pluck": (3, 5, 9),
}

TIMBRES: dict[str, tuple[int, ...]] = {"pure": (1, 2, 3), "hollow": (1, 3, 5, 7, 9, 11), "full": tuple(range(1, 13))}
BRIGHTNESSES: dict[str, float] = {"dark": 2.2, "plain": 1.3, "bright": 0.6}  # partial k has the size k^-this

# What a kind plays: semitones above the root, one event after the other (chords: all at once).
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "arpeggio": {"arpeggio up": (0, 4, 7, 12), "arpeggio down": (12, 7, 4, 0), "arpeggio wave": (0, 4, 7, 12, 7, 4)},
    "chord": {"major": (0, 4, 7), "minor": (0, 3, 7), "fourths": (0, 5, 10)},
    "pluck": {"repeated": (0,), "fifths": (0, 7), "falling": (12, 7, 5, 0)},
}
BEATS: dict[str, tuple[str, ...]] = {  # which drum is hit at each step of a bar of four
    "straight": ("kick", "hat", "kick", "hat"),
    "backbeat": ("kick", "hat", "snare", "hat"),
    "gallop": ("kick", "", "snare", "snare"),
}
GLIDES: tuple[str, ...] = ("sweep up", "sweep down", "sweep wave")  # over two octaves, or there and back
SHAPES_OF: dict[str, tuple[str, ...]] = {
    "drum loop": tuple(BEATS),
    "sweep": GLIDES,
    **{kind: tuple(shapes) for kind, shapes in SHAPES.items()},
}

LABELS: dict[str, tuple[str, ...]] = {  # every label of a sound and its classes, in their order
    "kind": KINDS,
    "pitch": (*PITCHES, "none"),
    "register": tuple(REGISTERS),
    "tempo": TEMPOS,
    "timbre": tuple(TIMBRES),
    "brightness": tuple(BRIGHTNESSES),
    "shape": tuple(shape for kind in KINDS for shape in SHAPES_OF[kind]),
}
