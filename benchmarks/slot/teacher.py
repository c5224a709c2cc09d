"""The job `teacher`: the mini world's U-Net trained on, from the weights that are shipped, to five million images.

Scenes are drawn where the job runs and encoded by the shipped autoencoder and text encoder. Training is in bfloat16 on
a GPU. The averaged weights come back in float16, in files of at most 12 MB, with figures of quality before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPModel

from aptp_bench import assets
from aptp_bench.backbones.inception import MiniInception
from aptp_bench.benchmarks.mini_world import quality, scenes, unet
from aptp_bench.benchmarks.mini_world.loop import Recipe, averaged
from aptp_bench.benchmarks.slot import job
from aptp_bench.benchmarks.slot.job import Facts, Ledger, show_rows
from aptp_bench.core.slot import Piece
from aptp_bench.models.stable_diffusion import MiniSD

RECIPE = Recipe(steps=4_900, batch=1_024, lr=1e-3, warmup=300, ema=0.9985, save_every=175, seed=5)  # 5,017,600 images
SMALL = Recipe(steps=6, batch=8, lr=1e-3, warmup=2, save_every=3, seed=5)
SHARD = "12MB"
DRAWING, ENCODING, TRAINING, JUDGING = 60.0, 60.0, 15.0, 30.0  # seconds of a piece, until one was done


class Job(job.Job):
    """Checkpoints and weights under `out`/teacher, a file a piece beside them."""

    def __init__(self, place: job.Place) -> None:
        super().__init__(place)
        self.folder = place.out / "teacher" / ("smallest" if place.smallest else "mini")
        self.ledger, self.recipe = Ledger(self.folder), SMALL if place.smallest else RECIPE
        self.images = 32 if place.smallest else quality.IMAGES

    def pieces(self) -> Sequence[Piece]:
        """Draw, encode, judge what is shipped, train from checkpoint to checkpoint, judge what came of it."""
        every, steps = self.recipe.save_every, self.recipe.steps
        stops = [*range(every, steps, every), steps]
        return [
            self.ledger.piece("draw scenes", "draw", DRAWING, self._draw),
            self.ledger.piece("encode scenes", "encode", ENCODING, self._encode),
            self.ledger.piece("quality before", "quality", JUDGING, lambda: self._judge(MiniSD().load())),
            *(self.ledger.piece(f"train to step {n}", "train", TRAINING, partial(self._train, n)) for n in stops),
            self.ledger.piece("quality after", "quality", JUDGING, self._after),
        ]

    def show(self) -> None:
        """Images seen, and the figures before and after."""
        before, after = (self.ledger.of(f"quality {when}") or {} for when in ("before", "after"))
        names = [name for name in before if name not in ("piece", "kind", "seconds")]
        rows = [[name, *(f"{found[name]:.4f}" if name in found else "" for found in (before, after))] for name in names]
        steps = max((row["step"] for row in self.ledger.rows() if row["kind"] == "train"), default=0)
        seen = f"{steps * self.recipe.batch:,} of {self.recipe.steps * self.recipe.batch:,} images seen"
        show_rows(f"the mini world's U-Net on {self.place.device}", ["figure", "before", "after"], rows, seen)

    @cached_property
    def encoded(self) -> dict[str, Tensor]:
        """Latents and texts on the device."""
        shipped, data = MiniSD().load().to(self.place.device), self._scenes("train")
        parts = (shipped.vae, shipped.text_encoder, shipped.tokenizer)
        found = unet.encode(data, *parts, self.folder / "encoded" / "train.safetensors")
        return {name: tensor.to(self.place.device) for name, tensor in found.items()}

    def _scenes(self, split: str) -> scenes.Scenes:
        return scenes.gather(split, self.folder, 32 if self.place.smallest else None)

    def _draw(self) -> Facts:
        return {split: len(self._scenes(split)) for split in ("train", "val")}

    def _encode(self) -> Facts:
        return {"pairs": len(self.encoded["latents"])}

    def _train(self, stop: int) -> Facts:
        unet.train(
            self.encoded, None, self.folder / "unet", self.recipe, MiniSD().load().unet.requires_grad_(True), stop
        )
        return {"step": stop}

    def _after(self) -> Facts:
        """Judge the averaged weights as they are shipped, in float16."""
        pipeline = MiniSD().load()
        pipeline.unet = averaged(pipeline.unet, self.folder / "unet").half()
        pipeline.unet.save_pretrained(self.folder / "weights", max_shard_size=SHARD)
        pipeline.unet.float()
        return self._judge(pipeline)

    def _judge(self, pipeline: Any) -> Facts:
        """The figures of quality.json that the U-Net decides, on held-out captions."""
        data, net = self._scenes("val"), MiniInception.load(assets.path("inception"))
        clip = CLIPModel.from_pretrained(assets.path("clip"), torch_dtype=torch.float32).eval()
        made = quality.generate(data, self.images, pipeline=pipeline.to(self.place.device)).cpu()
        return quality.of_generated(made, data, net, clip, pipeline.tokenizer)
