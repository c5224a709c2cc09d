"""Training pairs as the U-Net sees them: latents and text embeddings, computed once and read from disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor

from aptp_bench.core.files import write_json
from aptp_bench.core.progress import Progress
from aptp_bench.errors import CheckpointError, DataError
from aptp_bench.models.pipelines import encoded

if TYPE_CHECKING:
    import datasets
    from diffusers import StableDiffusionPipeline

TENSORS, CAPTIONS, DONE = "pairs.safetensors", "captions.json", "encoded.json"
MODES = {3: "RGB", 1: "L"}  # by the channels that an autoencoder reads
STORED = np.dtype(np.float16)  # COCO's text embeddings are 63 GB so, twice that in float32


@dataclass(frozen=True)
class Batch:
    """Some pairs on a device: latents: [B, C, h, w] and text: [B, L, d], float32."""

    latents: Tensor
    text: Tensor


@dataclass(frozen=True)
class Pairs:
    """captions: n strings; latents: [n, C, h, w], times the VAE's scaling factor; text: [n, L, d]; any float type."""

    captions: Sequence[str]
    latents: Tensor
    text: Tensor

    def __post_init__(self) -> None:
        if not len(self.captions) == len(self.latents) == len(self.text):
            sizes = f"{len(self.captions)} captions, {len(self.latents)} latents, {len(self.text)} texts"
            raise DataError(f"training pairs do not belong together ({sizes}); encode the dataset again")

    def __len__(self) -> int:
        return len(self.captions)

    def subset(self, indices: Sequence[int] | Tensor) -> Pairs:
        """The pairs at `indices`, in that order, in memory."""
        at = torch.as_tensor(indices, dtype=torch.long)
        return Pairs([self.captions[i] for i in at.tolist()], self.latents[at], self.text[at])

    def batch(self, indices: Sequence[int] | Tensor, device: torch.device | str = "cpu") -> Batch:
        """The pairs at `indices` as float32 on `device`; only these rows are read from disk."""
        part = self.subset(indices)
        return Batch(part.latents.to(device, torch.float32), part.text.to(device, torch.float32))

    @classmethod
    def load(cls, folder: Path) -> Pairs:
        """Read what `encode_pairs` wrote; tensors stay on disk until rows are asked for. Raises CheckpointError."""
        try:
            captions = json.loads((folder / CAPTIONS).read_text(encoding="utf-8"))
            with safe_open(folder / TENSORS, framework="pt") as file:
                return cls(captions, file.get_tensor("latents"), file.get_tensor("text"))
        except (OSError, ValueError, SafetensorError) as err:
            raise CheckpointError(
                f"the training pairs in {folder} cannot be read ({err}); delete it and run again"
            ) from err


@torch.no_grad()
def encode_pairs(
    pipeline: StableDiffusionPipeline,
    dataset: datasets.Dataset,
    progress: Progress,
    batch: int,
    device: torch.device | str,
    resolution: int,
    folder: Path,
) -> Pairs:
    """Encode images by the pipeline's autoencoder and captions by its text encoder, if it has one, both on `device`.

    dataset: columns "caption" and "image"; resolution: pixels of the square centre crop; folder: where it is written
    as it goes, for sets larger than memory, and where a killed run goes on. Raises DataError if there is nothing to
    encode.
    """
    captions, vae = list(dataset["caption"]), pipeline.vae
    if not captions:
        raise DataError("there are no training pairs; raise the training limit (--set sizes.train=1024)")
    side = resolution // 2 ** (len(vae.config.block_out_channels) - 1)
    shapes = {
        "latents": (len(captions), vae.config.latent_channels, side, side),
        "text": (len(captions), *encode_text(pipeline, [""], device).shape[1:]),
    }
    folder.mkdir(parents=True, exist_ok=True)
    begun = (folder / DONE).exists() and (folder / TENSORS).exists()
    done = json.loads((folder / DONE).read_text(encoding="utf-8"))["rows"] if begun else 0
    arrays = _mapped(folder / TENSORS, shapes, fresh=done == 0)
    for start in progress.track(range(0, len(captions), batch), "encode", done=done // batch):
        rows = slice(start, min(start + batch, len(captions)))
        squares = [prepared(image, resolution, MODES[vae.config.in_channels]) for image in dataset[rows]["image"]]
        latents = encoded(vae, torch.stack(squares).to(device, vae.dtype))
        for name, found in (("latents", latents), ("text", encode_text(pipeline, captions[rows], device))):
            arrays[name][rows] = found.float().cpu().numpy().astype(STORED)
            arrays[name].flush()
        write_json(folder / DONE, {"rows": rows.stop})
    (folder / CAPTIONS).write_text(json.dumps(captions, ensure_ascii=False), encoding="utf-8")
    (folder / DONE).unlink(missing_ok=True)
    return Pairs.load(folder)


@torch.no_grad()
def encode_text(
    pipeline: StableDiffusionPipeline, captions: Sequence[str], device: torch.device | str = "cpu"
) -> Tensor:
    """Captions -> what the U-Net's cross-attention reads, [n, L, d], as generation computes it."""
    return pipeline.encode_prompt(list(captions), device, 1, do_classifier_free_guidance=False)[0]


def prepared(image: Image.Image, resolution: int, mode: str = "RGB") -> Tensor:
    """An image -> [C, resolution, resolution] in [-1, 1]: shorter side resized (bicubic, antialiased), centre cropped.

    mode: Pillow's, "RGB" or "L".
    """
    image = image.convert(mode)
    if image.size != (resolution, resolution):
        scale = resolution / min(image.size)
        width, height = (max(resolution, round(side * scale)) for side in image.size)
        left, top = (width - resolution) // 2, (height - resolution) // 2
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        image = image.crop((left, top, left + resolution, top + resolution))
    pixels = torch.from_numpy(np.array(image)).reshape(resolution, resolution, -1)
    return pixels.permute(2, 0, 1).float() / 127.5 - 1.0


def _mapped(path: Path, shapes: dict[str, tuple[int, ...]], fresh: bool) -> dict[str, np.memmap]:
    """Arrays inside a safetensors file: eight bytes of header length, a JSON header, then tensor after tensor."""
    header: dict[str, Any] = {}
    at = 0
    for name, shape in shapes.items():
        size = STORED.itemsize * int(np.prod(shape))
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the format wants the data aligned to eight bytes
    begin = 8 + len(text)
    if fresh:
        with path.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(begin + at)
    offsets = {name: begin + entry["data_offsets"][0] for name, entry in header.items()}
    return {name: np.memmap(path, STORED, "r+", offsets[name], shape) for name, shape in shapes.items()}
