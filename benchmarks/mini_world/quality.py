"""How good the mini world is: figures written beside the weights, and the grid of samples the README shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from aptp_bench import assets
from aptp_bench.backbones.inception import MiniInception
from aptp_bench.benchmarks.mini_world import vae
from aptp_bench.benchmarks.mini_world.classifier import accuracy
from aptp_bench.benchmarks.mini_world.scenes import LABELS, SPLITS, Scenes, gather
from aptp_bench.benchmarks.mini_world.towers import retrieval
from aptp_bench.core.files import write_json
from aptp_bench.data import scenes
from aptp_bench.metrics.fid import frechet_distance
from aptp_bench.models.stable_diffusion import MiniSD

IMAGES = 1_024
STEPS, GUIDANCE = 25, 2.0
TOLD = ("subject", "setting", "colour", "count", "partner", "partner_colour")  # by composition


def measure(work: Path) -> dict[str, Any]:
    """Sample the shipped pipeline on held-out captions; write quality.json and samples.png. Returns the figures.

    work: where the pictures are, or will be, drawn.
    """
    data, shipped = gather("val", work), MiniSD().load()
    real, train = (each.pixels(torch.arange(IMAGES)) for each in (data, gather("train", work)))
    made, same = generate(data, IMAGES, shipped), redrawn(IMAGES)
    with torch.no_grad():
        again = torch.cat([shipped.vae.decode(shipped.vae.encode(x).latent_dist.mean).sample for x in real.split(256)])
    judge = Judge.load()
    figures = {
        "vae_psnr_db": vae.psnr(shipped.vae, real[:256]),
        "fid_floor_train_scenes": judge.distance(train, real),
        "fid_floor_same_scenes_redrawn": judge.distance(same, real),
    }
    for what, pictures in (("real", real), ("reconstructed", again.clamp(-1, 1)), ("generated", made)):
        figures |= {f"{name}_{what}": value for name, value in judge.agreement(pictures, data).items()}
    figures["fid_generated"] = judge.distance(made, real)
    found = {name: round(value, 4) for name, value in figures.items()}
    found |= {"by_composition": judge.by_composition(made, data), "images": IMAGES}
    write_json(assets.ROOT / "quality.json", found)
    grid(made[:64], assets.ROOT / "samples.png")
    return found


@dataclass(frozen=True)
class Judge:
    """The shipped networks that tell what is on a picture; pictures are float [n, 3, 32, 32] in [-1, 1] of the first n captions."""

    net: MiniInception
    clip: CLIPModel
    tokenizer: CLIPTokenizer

    @classmethod
    def load(cls) -> Judge:
        """From the package."""
        clip = CLIPModel.from_pretrained(assets.path("clip"), torch_dtype=torch.float32).eval()
        tokenizer = CLIPTokenizer.from_pretrained(assets.path("clip"))
        return cls(MiniInception.load(assets.path("inception")), clip, tokenizer)

    def distance(self, pictures: Tensor, others: Tensor) -> float:
        """FID between two sets."""
        return frechet_distance(pooled(self.net, pictures), pooled(self.net, others))[0]

    def agreement(self, pictures: Tensor, data: Scenes) -> dict[str, float]:
        """How often the own caption is first among 32, and every label is read as it was asked for."""
        labels = accuracy(self.net, pictures, data.labels[: len(pictures)])
        return {"clip_top1_of_32": retrieval(self.clip, self.tokenizer, data, pictures), **labels}

    def by_composition(self, pictures: Tensor, data: Scenes) -> dict[str, dict[str, float]]:
        """The labels that say what is on a picture, for every composition, and how many pictures it has."""
        labels, found = data.labels[: len(pictures)], {}
        for index, name in enumerate(scenes.COMPOSITIONS):
            those = labels[:, list(LABELS).index("composition")] == index
            read = accuracy(self.net, pictures[those], labels[those])
            found[name] = {"images": int(those.sum()), **{label: read[label] for label in TOLD}}
        return found


@torch.no_grad()
def generate(data: Scenes, number: int, pipeline: Any, batch: int = 128) -> Tensor:
    """Pictures [number, 3, 32, 32] in [-1, 1] for the first captions, by the pipeline and its sampler."""
    pictures = []
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
