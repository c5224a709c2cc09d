"""Training pairs as the U-Net sees them: latents and text embeddings, computed once and read from disk.

Text embeddings are nineteen parts in twenty of what SD 2.1's pairs take. They may be left out: captions are then encoded
whenever they are asked for, by the same frozen encoder, and rounded as those that are stored. An embedding is then the
same up to what the number of captions beside it changes in the encoder's last bits.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor

from aptp_bench.core.distributed import Ranks
from aptp_bench.core.files import write_text, write_whole
from aptp_bench.core.progress import Progress
from aptp_bench.errors import CheckpointError, DataError
from aptp_bench.models.pipelines import encoded

if TYPE_CHECKING:
    import datasets
    from diffusers import StableDiffusionPipeline

TENSORS, CAPTIONS, IMAGES, DONE = "pairs.safetensors", "captions.json", "images.json", "encoded-*.log"
MODES = {3: "RGB", 1: "L"}  # by the channels that an autoencoder reads
STORED = np.dtype(np.float16)  # COCO's text embeddings are 63 GB so, twice that in float32
AT_ONCE = 64  # captions that are encoded together when they are asked for


@dataclass(frozen=True)
class Batch:
    """Some pairs on a device: latents: [B, C, h, w] and text: [B, L, d], float32."""

    latents: Tensor
    text: Tensor


@dataclass(frozen=True)
class Text:
    """Text embeddings that are encoded when rows are asked for: text[rows] is float16 [k, L, d]."""

    captions: Sequence[str]
    teacher: StableDiffusionPipeline

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, rows: Tensor) -> Tensor:
        wanted, device = [self.captions[i] for i in rows.tolist()], self.teacher.unet.device
        starts = range(0, len(wanted), AT_ONCE)
        parts = [encode_text(self.teacher, wanted[at : at + AT_ONCE], device).half() for at in starts]
        return torch.cat(parts)


@dataclass(frozen=True)
class Pairs:
    """captions: n strings; latents: [m, C, h, w], times the VAE's scaling factor; text: [n, L, d]; any float type.

    images: of every pair the row of its latents, int64 [n]; None where each has its own.
    """

    captions: Sequence[str]
    latents: Tensor
    text: Tensor | Text
    images: Tensor | None = None

    def __post_init__(self) -> None:
        if not len(self.captions) == len(self.latents if self.images is None else self.images) == len(self.text):
            sizes = f"{len(self.captions)} captions, {len(self.latents)} latents, {len(self.text)} texts"
            raise DataError(f"training pairs do not belong together ({sizes}); encode the dataset again")

    def __len__(self) -> int:
        return len(self.captions)

    def subset(self, indices: Sequence[int] | Tensor) -> Pairs:
        """The pairs at `indices`, in that order, in memory."""
        at = torch.as_tensor(indices, dtype=torch.long)
        return Pairs([self.captions[i] for i in at.tolist()], self._latents(at), self.text[at])

    def batch(self, indices: Sequence[int] | Tensor, device: torch.device | str = "cpu") -> Batch:
        """The pairs at `indices` as float32 on `device`; only these rows are read from disk, or encoded."""
        at = torch.as_tensor(indices, dtype=torch.long)
        return Batch(self._latents(at).to(device, torch.float32), self.text[at].to(device, torch.float32))

    def _latents(self, at: Tensor) -> Tensor:
        return self.latents[at if self.images is None else self.images[at]]

    @classmethod
    def load(cls, folder: Path, teacher: StableDiffusionPipeline | None = None) -> Pairs:
        """Read what `encode_pairs` wrote; tensors stay on disk until rows are asked for. Raises CheckpointError.

        teacher: whose encoder reads captions where their embeddings are not stored.
        """
        try:
            captions = json.loads((folder / CAPTIONS).read_text(encoding="utf-8"))
            with safe_open(folder / TENSORS, framework="pt") as file:
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            text = found["text"] if teacher is None or "text" in found else Text(captions, teacher)
            shared = folder / IMAGES
            images = torch.tensor(json.loads(shared.read_text(encoding="utf-8"))) if shared.exists() else None
            return cls(captions, found["latents"], text, images)
        except (OSError, ValueError, KeyError, SafetensorError) as err:
            raise CheckpointError(
                f"the training pairs in {folder} cannot be read ({err}); delete it and run again"
            ) from err


@torch.no_grad()
def encode_pairs(
    pipeline: StableDiffusionPipeline,
    dataset: datasets.Dataset,
    progress: Progress,
    batch: int,
    resolution: int,
    folder: Path,
    text: bool = True,
) -> Pairs:
    """Encode images by the pipeline's autoencoder and captions by its text encoder, if it has one, where they are.

    dataset: columns "caption" and "image"; resolution: pixels of the square centre crop; folder: where it is written
    as it goes, for sets larger than memory, and where a killed run goes on; text: whether captions' embeddings are
    stored. An image that several rows share is encoded once. Several processes share the batches; how many there are
    changes no number. Raises DataError if there is nothing to encode.
    """
    captions, vae, ranks = list(dataset["caption"]), pipeline.vae, Ranks.here()
    if not captions:
        raise DataError("there are no training pairs; raise the training limit (--set sizes.train=1024)")
    side = resolution // 2 ** (len(vae.config.block_out_channels) - 1)
    images, firsts = _shared(dataset) or (None, range(len(captions)))
    shapes = {"latents": (len(firsts), vae.config.latent_channels, side, side)}
    if text:
        shapes["text"] = (len(captions), *encode_text(pipeline, [""], vae.device).shape[1:])
    end = shapes["text" if text else "latents"][0]
    layout = [slice(start, min(start + batch, end)) for start in range(0, end, batch)]
    with ranks.together():
        if ranks.first and not (folder / TENSORS).exists():
            _begin(folder, shapes, {CAPTIONS: captions} if images is None else {CAPTIONS: captions, IMAGES: images})
    done = _logged(folder)
    with ranks.together():
        mine = sorted(ranks.share(layout), key=lambda rows: _line(rows) not in done)
        rest = sum(_line(rows) in done for rows in mine)
        for rows in progress.track(mine, "encode", done=rest):
            pictures = _pictures(dataset, firsts[rows])
            found = {"latents": _latents(vae, pictures, resolution)} if pictures else {}
            if text:
                found["text"] = encode_text(pipeline, captions[rows], vae.device)
            _write(folder / TENSORS, rows.start, found)
            with (folder / DONE.replace("*", str(ranks.rank))).open("a", encoding="utf-8") as log:
                log.write(_line(rows))
    if ranks.first:
        for log_file in folder.glob(DONE):
            log_file.unlink()
    return Pairs.load(folder, pipeline)


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


def _shared(dataset: Any) -> tuple[list[int], list[int]] | None:
    """(image of every row, counted from 0, first row of every image) where rows name files and some name the same one."""
    if getattr(getattr(dataset, "features", {}).get("image"), "decode", True):
        return None
    raw = dataset.with_format(None)
    if raw[0]["image"]["path"] is None:
        return None
    numbers: dict[str, int] = {}
    images = [numbers.setdefault(cell["path"], len(numbers)) for cell in raw["image"]]
    firsts: list[int] = np.unique(images, return_index=True)[1].tolist()
    return (images, firsts) if len(firsts) < len(images) else None


def _latents(vae: Any, pictures: Sequence[Image.Image], resolution: int) -> Tensor:
    squares = [prepared(image, resolution, MODES[vae.config.in_channels]) for image in pictures]
    return encoded(vae, torch.stack(squares).to(vae.device, vae.dtype))


def _pictures(dataset: Any, rows: Sequence[int]) -> list[Image.Image]:
    """The images of some rows; a range is read as a slice, which every data set knows."""
    if not rows:
        return []
    found: list[Image.Image] = dataset[slice(rows.start, rows.stop) if isinstance(rows, range) else rows]["image"]
    return found


def _begin(folder: Path, shapes: Mapping[str, tuple[int, ...]], beside: Mapping[str, Sequence[Any]]) -> None:
    """Documents, and a safetensors file without its numbers: eight bytes of header length, a JSON header, then tensor after tensor."""
    folder.mkdir(parents=True, exist_ok=True)
    for log in folder.glob(DONE):
        log.unlink()
    for name, document in beside.items():
        write_text(folder / name, json.dumps(document, ensure_ascii=False))
    header: dict[str, Any] = {}
    at = 0
    for name, shape in shapes.items():
        size = STORED.itemsize * int(np.prod(shape))
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the format wants the data aligned to eight bytes

    def write(aside: Path) -> None:
        with aside.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(8 + len(text) + at)

    write_whole(folder / TENSORS, write)


def _write(path: Path, row: int, tensors: dict[str, Tensor]) -> None:
    """Put rows in their places, from `row` on. Bytes beside them are not touched: they may be another process's."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        for name, tensor in tensors.items():
            data = tensor.float().cpu().numpy().astype(STORED)
            file.seek(8 + size + header[name]["data_offsets"][0] + row * data[0].nbytes)
            file.write(data.tobytes())
        file.flush()
        os.fsync(file.fileno())  # before the log says so


def _line(rows: slice) -> str:
    return f"{rows.start} {rows.stop}\n"


def _logged(folder: Path) -> set[str]:
    """The batches that any process finished, as lines; one that a kill cut short is none."""
    return {line for log in folder.glob(DONE) for line in log.read_text(encoding="utf-8").splitlines(keepends=True)}
