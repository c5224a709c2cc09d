"""Image and text towers trained to agree (Radford et al. 2021, arXiv:2103.00020), with the scenes' labels as a second task.

Two pairs are trained apart: one gives Stable Diffusion its text encoder, the other is the judge (CLIP score, CMMD), so that the
judge has never seen the network it judges.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

from aptp_bench.benchmarks.mini_world.loop import Parts, Recipe, averaged, fit
from aptp_bench.benchmarks.mini_world.scenes import LABELS, Scenes
from aptp_bench.benchmarks.mini_world.tokenizer import LENGTH

TEXT_ENCODER = Recipe(steps=1_000, batch=128, lr=1e-3, ema=0.99, save_every=200, seed=1)
JUDGE = Recipe(steps=1_400, batch=128, lr=1e-3, ema=0.99, save_every=200, seed=2)
RECIPES = {"text_encoder": TEXT_ENCODER, "clip": JUDGE}
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
WIDTH = 128


def eyesight() -> CLIPImageProcessor:
    """How pictures come to the towers."""
    return CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32},
                              image_mean=list(MEAN), image_std=list(STD))  # fmt: skip


class Towers(nn.Module):
    """A CLIPModel and, for training only, heads that read the scenes' labels off both embeddings."""

    def __init__(self, tokenizer: CLIPTokenizer, patch: int, layers: int) -> None:
        super().__init__()
        shape = {
            "hidden_size": WIDTH,
            "intermediate_size": 4 * WIDTH,
            "num_attention_heads": 4,
            "projection_dim": WIDTH,
        }
        ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
        text = CLIPTextConfig(vocab_size=len(tokenizer), max_position_embeddings=LENGTH, num_hidden_layers=layers,
                              pad_token_id=tokenizer.pad_token_id, **ends, **shape)  # fmt: skip
        vision = CLIPVisionConfig(image_size=32, patch_size=patch, num_hidden_layers=layers, **shape)
        self.clip = CLIPModel(
            CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=WIDTH)
        )
        self.heads = nn.ModuleDict({name: nn.Linear(WIDTH, classes) for name, classes in LABELS.items()})

    def forward(self, pixels: Tensor, tokens: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Embeddings of unit length: images [n, 128], texts [n, 128]."""
        out = self.clip(pixel_values=pixels, **tokens)
        return out.image_embeds, out.text_embeds

    def read(self, embedding: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of LABELS read off an embedding; labels: [n, 9]."""
        scores = [head(embedding * 8) for head in self.heads.values()]
        return sum((F.cross_entropy(s, labels[:, i]) for i, s in enumerate(scores)), torch.zeros(())) / len(scores)


def tokenised(tokenizer: CLIPTokenizer, captions: list[str], padding: str = "max_length") -> dict[str, Tensor]:
    """input_ids and attention_mask [n, LENGTH]; padding="longest" is cheaper where only the pooled embedding is read."""
    made = tokenizer(captions, padding=padding, max_length=LENGTH, truncation=True, return_tensors="pt")
    return {"input_ids": made["input_ids"], "attention_mask": made["attention_mask"]}


def phrased(data: Scenes, index: Tensor, generator: torch.Generator) -> list[str]:
    """One phrasing of each scene, drawn at random."""
    rolls = torch.rand(len(index), generator=generator).tolist()
    return [data.captions[i][int(r * len(data.captions[i]))] for i, r in zip(index.tolist(), rolls, strict=True)]


def train(
    data: Scenes, held_out: Scenes, tokenizer: CLIPTokenizer, folder: Path, recipe: Recipe, patch: int
) -> CLIPModel:
    """Train the two towers; returns the CLIPModel with the averaged weights."""
    torch.manual_seed(recipe.seed)
    towers = Towers(tokenizer, patch, layers=3)

    def draw(generator: torch.Generator) -> Parts:
        index = torch.randint(len(data), (recipe.batch,), generator=generator)
        tokens = tokenised(tokenizer, phrased(data, index, generator), "longest")
        return {"pixels": data.pixels(index), "labels": data.labels[index], **tokens}

    def loss(drawn: Parts) -> Parts:
        tokens = {name: drawn[name] for name in ("input_ids", "attention_mask")}
        with torch.autocast("cpu", torch.bfloat16):
            image, text = (embedding.float() for embedding in towers(drawn["pixels"], tokens))
        labels = drawn["labels"]
        match = contrast(image, text, towers.clip.logit_scale.exp().clamp(max=100), labels)
        label = towers.read(image, labels) + towers.read(text, labels)
        return {"loss": match + label, "match": match, "label": label}

    def watch(step: int) -> dict[str, float]:
        return {"top1_of_32": retrieval(towers.clip, tokenizer, held_out)}

    return fit(towers, draw, loss, recipe, folder, watch).clip


def trained(tokenizer: CLIPTokenizer, folder: Path, patch: int) -> CLIPModel:
    """The towers of the last checkpoint."""
    return averaged(Towers(tokenizer, patch, layers=3), folder).clip


def contrast(image: Tensor, text: Tensor, scale: Tensor, labels: Tensor) -> Tensor:
    """Symmetric cross-entropy of the n x n similarities; scenes with equal labels are no negatives of one another."""
    same = (labels[:, None] == labels[None]).all(dim=-1).float()
    target = same / same.sum(dim=1, keepdim=True)
    scores = scale * image @ text.T
    return (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target.T)) / 2


@torch.no_grad()
def retrieval(
    clip: CLIPModel, tokenizer: CLIPTokenizer, data: Scenes, images: Tensor | None = None, ways: int = 32
) -> float:
    """Share of images whose own caption is ranked first among `ways`; images: float [n, 3, 32, 32] in [-1, 1], default the first 512."""
    images = data.pixels(torch.arange(512)) if images is None else images
    captions = [data.captions[i][0] for i in range(len(images))]
    out = clip(pixel_values=images, **tokenised(tokenizer, captions))
    hits = []
    for image, text in zip(out.image_embeds.split(ways), out.text_embeds.split(ways), strict=True):
        hits.append((image @ text.T).argmax(dim=1) == torch.arange(len(image)))
    return float(torch.cat(hits).float().mean())
