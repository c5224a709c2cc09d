"""The sounds of the embedded mini world: clips of two seconds at 8 kHz that stand in for music.

Nothing is stored: a sound is a function of (seed, index), and equal sounds give equal samples.
"""

from aptp_bench.data.sounds.catalog import KINDS, LABELS
from aptp_bench.data.sounds.render import RATE, SAMPLES, render
from aptp_bench.data.sounds.sound import Sound, sample

__all__ = ["KINDS", "LABELS", "RATE", "SAMPLES", "Sound", "render", "sample"]
