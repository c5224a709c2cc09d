"""The embedded mini world: procedurally drawn, captioned 32x32 scenes that stand in for COCO and CC3M.

Nothing is stored: a scene is a function of (world, seed, index), and equal scenes give equal pixels and captions.
"""

from aptp_bench.data.scenes.captions import captions
from aptp_bench.data.scenes.catalog import COMPOSITIONS, SUBJECTS, WORDS
from aptp_bench.data.scenes.palette import COLOURS
from aptp_bench.data.scenes.prompts import prompts
from aptp_bench.data.scenes.scene import Companion, Scene, draw, sample
from aptp_bench.data.scenes.settings import SETTINGS

__all__ = ["COLOURS", "COMPOSITIONS", "SETTINGS", "SUBJECTS", "WORDS", "Companion", "Scene", "captions", "draw", "prompts",
           "sample"]  # fmt: skip
