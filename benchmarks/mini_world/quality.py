"""How good the mini world is: figures written beside the weights, and the grid of samples the README shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aptp_bench import assets
from aptp_bench.backbones.inception import MiniInception
from aptp_bench.benchmarks.mini_world import vae
from aptp_bench.benchmarks.mini_world.classifier import accuracy
from aptp_bench.benchmarks.mini_world.scenes import SPLITS, Scenes
from aptp_bench.benchmarks.mini_world.towers import retrieval
from aptp_bench.core.files import write_json
from aptp_bench.data import scenes
from aptp_bench.metrics.fid import frechet_distance
from aptp_bench.models.stable_diffusion import MiniSD

if TYPE_CHECKING:
    from aptp_bench.benchmarks.mini_world.world import World

IMAGES = 1_024
STEPS, GUIDANCE = 25, 2.0


def measure(world: World) -> dict[str, float]:
    """Sample the shipped pipeline on held-out captions; write quality.json and samples.png. Returns the figures."""
    data, net = world.held_out, MiniInception.load(assets.path("inception"))
    real, train = data.pixels(torch.arange(IMAGES)), world.train.pixels(torch.arange(IMAGES))
    made = generate(data, IMAGES)
    clip, tokenizer = world.judge(), world.tokenizer
    figures = {
        "vae_psnr_db": vae.psnr(world.autoencoder(), real[:256]),
        "clip_top1_of_32_real": retrieval(clip, tokenizer, data, real),
        "clip_top1_of_32_generated": retrieval(clip, tokenizer, data, made),
        "fid_generated": frechet_distance(pooled(net, made), pooled(net, real))[0],
        "fid_floor_train_scenes": frechet_distance(pooled(net, train), pooled(net, real))[0],
        "fid_floor_same_scenes_redrawn": frechet_distance(pooled(net, redrawn(IMAGES)), pooled(net, real))[0],
    }
    for name, pictures in (("real", real), ("generated", made)):
        figures |= {f"{label}_{name}": value for label, value in accuracy(net, pictures, data.labels[:IMAGES]).items()}
    figures = {name: round(value, 4) for name, value in figures.items()} | {"images": IMAGES}
    write_json(assets.ROOT / "quality.json", figures)
    grid(made[:64], assets.ROOT / "samples.png")
    return figures


def generate(data: Scenes, number: int, batch: int = 128) -> Tensor:
    """Pictures [number, 3, 32, 32] in [-1, 1] for the first captions, by the shipped pipeline and its own sampler."""
    pipeline, pictures = MiniSD().load(), []
    for start in range(0, number, batch):
        captions = [data.captions[i][0] for i in range(start, min(start + batch, number))]
        seeds = [torch.Generator().manual_seed(start + k) for k in range(len(captions))]
        made = pipeline(captions, num_inference_steps=STEPS, guidance_scale=GUIDANCE, generator=seeds, output_type="pt",
                        height=32, width=32).images  # fmt: skip
        pictures.append((made * 255).round() / 127.5 - 1)
    return torch.cat(pictures)


def redrawn(number: int) -> Tensor:
    """The first held-out scenes with other jitter: what a perfect generator of their captions would draw, [number, 3, 32, 32]."""
    seed = SPLITS["val"][0]
    sampled = [scenes.sample(("coco", "cc3m")[i % 2], seed, i // 2) for i in range(number)]
    drawn = np.stack([scenes.draw(replace(scene, seed=scene.seed + 1)) for scene in sampled])
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def pooled(net: MiniInception, pictures: Tensor) -> Tensor:
    """Features [n, 192] of pictures in [-1, 1]."""
    return torch.cat([net.pool(chunk) for chunk in pictures.split(256)])


def grid(pictures: Tensor, file: Path, zoom: int = 2, gap: int = 2) -> None:
    """The pictures [64, 3, 32, 32] as an 8 x 8 sheet, every pixel drawn `zoom` wide."""
    cells = ((pictures.permute(0, 2, 3, 1) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    cells = np.pad(cells, ((0, 0), (gap, 0), (gap, 0), (0, 0)), constant_values=255)
    sheet = cells.reshape(8, 8, *cells.shape[1:]).transpose(0, 2, 1, 3, 4).reshape(8 * cells.shape[1], -1, 3)
    Image.fromarray(sheet).resize((sheet.shape[1] * zoom, sheet.shape[0] * zoom), Image.Resampling.NEAREST).save(file)
