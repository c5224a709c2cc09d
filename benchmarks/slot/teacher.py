"""The job `teacher`: the mini world's autoencoder and U-Net, from nothing to the shipped recipe's end.

Scenes are drawn where the job runs; the text encoder and all judges are those that are shipped. The averaged weights come back in
float16, in files of at most 12 MB, with figures of quality before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import torch
from transformers import CLIPTextModel, CLIPTokenizer

from aptp_bench.benchmarks.mini_world import quality, scenes
from aptp_bench.benchmarks.mini_world.loop import Recipe
from aptp_bench.benchmarks.mini_world.world import RECIPES, World
from aptp_bench.benchmarks.slot import job
from aptp_bench.benchmarks.slot.job import Facts, Ledger, show_rows
from aptp_bench.core.slot import Piece
from aptp_bench.models.stable_diffusion import MiniSD

SMALL = Recipe(steps=4, batch=8, lr=1e-3, warmup=2, save_every=2)
SCENES = 32  # of each world, in the smallest trial
SHARD = "12MB"
# Seconds of a piece, until one was done; of a training: what an H200 took for a checkpoint's steps.
DRAWING, ENCODING, JUDGING = 40.0, 30.0, 15.0
TRAINING = {"vae": 11.0, "decoder": 9.0, "unet": 23.0}


class OnTheRest(World):
    """A world whose text encoder is the shipped one."""

    @cached_property
    def shipped(self) -> Any:
        """The pipeline in the package."""
        return MiniSD().load()

    @property
    def tokenizer(self) -> CLIPTokenizer:  # type: ignore[override]
        """The shipped one."""
        return self.shipped.tokenizer

    def text_encoder(self) -> CLIPTextModel:
        """The shipped one."""
        return self.shipped.text_encoder

    def eyes(self, number: int = 128) -> None:
        """Nothing: the job judges at the end."""


class Job(job.Job):
    """Checkpoints and weights under `out`/teacher, a file a piece beside them."""

    def __init__(self, place: job.Place) -> None:
        super().__init__(place)
        self.folder = place.out / "teacher" / ("smallest" if place.smallest else "mini")
        small = {part: replace(SMALL, seed=recipe.seed) for part, recipe in RECIPES.items()}
        self.ledger, self.recipes = Ledger(self.folder), small if place.smallest else RECIPES
        self.world = OnTheRest(self.folder, place.device, self.recipes)
        self.images = 32 if place.smallest else quality.IMAGES

    def pieces(self) -> Sequence[Piece]:
        """Draw, judge what is shipped, train each part from checkpoint to checkpoint, judge what came of it."""
        found = [
            self.ledger.piece("draw scenes", "draw", DRAWING, self._draw),
            self.ledger.piece("quality before", "quality", JUDGING, lambda: self._judge(MiniSD().load())),
        ]
        for part, recipe in self.recipes.items():
            if part == "unet":
                found.append(self.ledger.piece("encode scenes", "encode", ENCODING, self._encode))
            for stop in (*range(recipe.save_every, recipe.steps, recipe.save_every), recipe.steps):
                name, train = f"train {part} to step {stop}", partial(self._train, part, stop)
                found.append(self.ledger.piece(name, f"train {part}", TRAINING[part], train))
        return [*found, self.ledger.piece("quality after", "quality", JUDGING, self._after)]

    def show(self) -> None:
        """Images seen, and the figures before and after."""
        before, after = (self.ledger.of(f"quality {when}") or {} for when in ("before", "after"))
        names = [name for name in before if name not in ("piece", "kind", "seconds")]
        rows = [[name, *(f"{found[name]:.4f}" if name in found else "" for found in (before, after))] for name in names]
        seen = []
        for part, recipe in self.recipes.items():
            done = (row["step"] for row in self.ledger.rows() if row["kind"] == f"train {part}")
            reached = max(done, default=0) * recipe.batch
            seen.append(f"{part}: {reached:,} of {recipe.steps * recipe.batch:,} images seen")
        show_rows(
            f"the mini world's autoencoder and U-Net on {self.place.device}", ["figure", "before", "after"], rows, *seen
        )

    def _scenes(self, split: str) -> scenes.Scenes:
        return scenes.gather(split, self.folder, SCENES if self.place.smallest else None)

    def _draw(self) -> Facts:
        return {split: len(self._scenes(split)) for split in ("more", "val")}

    def _encode(self) -> Facts:
        return {"pairs": len(self.world.encoded("more")["latents"])}

    def _train(self, part: str, stop: int) -> Facts:
        self.world.train_part(part, stop)
        return {"step": stop}

    def _after(self) -> Facts:
        """Judge the averaged weights as they are shipped, in float16."""
        pipeline = self.world.pipeline()
        for name, network in (("unet", pipeline.unet), ("vae", pipeline.vae)):
            network.half().save_pretrained(self.folder / "weights" / name, max_shard_size=SHARD)
            network.float()
        return self._judge(pipeline)

    def _judge(self, pipeline: Any) -> Facts:
        """The figures of quality.json that these two decide, on held-out captions."""
        data, judge = self._scenes("val"), quality.Judge.load()
        made = quality.generate(data, self.images, pipeline.to(self.place.device)).cpu()
        real = data.pixels(torch.arange(self.images))
        return {**judge.agreement(made, data), "fid": judge.distance(made, real)}
