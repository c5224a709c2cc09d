"""The embedded mini world as datasets: drawn when asked for, no files, no network.

`coco` and `cc3m` yield the scenes of `aptp_bench.data.scenes`; train and val are other seeds and share no
scene (`scenes.scene` says how often two scenes happen to look alike). `partiprompts` are captions of compositions
that neither ever shows.
"""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING, ClassVar, Literal

from PIL import Image
from pydantic import Field

from aptp_bench.contracts.base import PluginConfig
from aptp_bench.contracts.dataset import DatasetPlugin
from aptp_bench.data import table

if TYPE_CHECKING:
    import datasets

    from aptp_bench.data import scenes

# The embedded networks were trained on scenes of other seeds than these (benchmarks/mini_world).
SEEDS: dict[str, int] = {"train": 0, "val": 1}
LABELS: tuple[str, ...] = ("kind", "composition", "subject", "setting", "colour", "count")


class MiniDataset(DatasetPlugin):
    """Scenes of one world, 32x32 pixels. Beside image and caption: LABELS."""

    world = "mini"
    drawn: ClassVar[Literal["coco", "cc3m"]]

    class Config(PluginConfig):
        """How many scenes each split holds."""

        train: int = Field(20_000, gt=0, description="training scenes")
        val: int = Field(2_000, gt=0, description="held-out scenes")

    config: Config

    def load(self, split: str, limit: int | None = None) -> datasets.Dataset:
        """The first `limit` scenes of a split, each with its main caption. Raises DataError for an unknown split."""
        from aptp_bench.data import scenes  # inside: whoever only asks for options draws nothing

        sizes = {"train": self.config.train, "val": self.config.val}
        table.check_split(self, split)
        count = table.first(limit, sizes[split])
        sampled = [scenes.sample(self.drawn, SEEDS[split], i) for i in range(count)]
        labels = {name: [getattr(scene, name) for scene in sampled] for name in LABELS}
        captions = [scenes.captions(s)[0] for s in sampled]
        return table.of_bytes([_png(s) for s in sampled], captions, f"{self.drawn}-like scenes, mini world", **labels)


class MiniCOCO(MiniDataset):
    """Mini world: 36 everyday objects in their settings, described by sentences as in MS-COCO."""

    name = "coco"
    drawn = "coco"


class MiniCC3M(MiniDataset):
    """Mini world: illustrations, landscapes, portraits, written signs and rooms with alt texts as in CC3M."""

    name = "cc3m"
    drawn = "cc3m"


class MiniFaces(MiniDataset):
    """Mini world: the portraits of cc3m without their captions, for models that read no prompts, as CelebA-HQ is."""

    name = "faces"
    drawn = "cc3m"
    captioned = False

    def load(self, split: str, limit: int | None = None) -> datasets.Dataset:
        """The first `limit` portraits of a split. Raises DataError for an unknown split."""
        from aptp_bench.data import scenes

        sizes = {"train": self.config.train, "val": self.config.val}
        table.check_split(self, split)
        count = table.first(limit, sizes[split])
        every = (scenes.sample(self.drawn, SEEDS[split], i) for i in itertools.count())
        sampled = list(itertools.islice((s for s in every if s.composition == "portrait"), count))
        labels = {name: [getattr(scene, name) for scene in sampled] for name in LABELS}
        return table.of_bytes([_png(s) for s in sampled], [""] * count, "portraits, mini world", **labels)


class MiniPartiPrompts(DatasetPlugin):
    """Mini world: 192 prompts of unseen compositions, labelled as PartiPrompts are. Captions only."""

    name = "partiprompts"
    world = "mini"
    captions_only = True
    splits = ("val",)

    def load(self, split: str = "val", limit: int | None = None) -> datasets.Dataset:
        """The first `limit` prompts. Columns: caption, category, challenge. Raises DataError for an unknown split."""
        from aptp_bench.data import scenes

        table.check_split(self, split)
        rows = scenes.prompts()
        rows = rows[: table.first(limit, len(rows))]
        return table.of_prompts([r.prompt for r in rows], [r.category for r in rows], [r.challenge for r in rows])


def _png(scene: scenes.Scene) -> bytes:
    from aptp_bench.data.scenes import draw

    buffer = io.BytesIO()
    Image.fromarray(draw(scene)).save(buffer, "png", compress_level=1)
    return buffer.getvalue()
