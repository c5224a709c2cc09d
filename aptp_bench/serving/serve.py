"""Prompts to a folder of numbered images: what `aptp-bench generate` does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aptp_bench import registry
from aptp_bench.audio import files as sounds
from aptp_bench.audio.mel import Mel
from aptp_bench.core.digests import weights_digest
from aptp_bench.core.files import alone_in, check_writable, write_json
from aptp_bench.core.settings import SamplingConfig
from aptp_bench.core.store import MANIFEST
from aptp_bench.errors import ConfigError, StoreError, WeightsError
from aptp_bench.generation.images import image_path, write_image
from aptp_bench.generation.sampling import NEGATIVE_PROMPT, parts_of, quantised
from aptp_bench.harness.run_folder import RunFolder
from aptp_bench.serving import requests
from aptp_bench.serving.pipeline import RoutedPipeline
from aptp_bench.serving.requests import Request

INDEX = "prompts.json"


@dataclass(frozen=True)
class Source:
    """A pipeline, and how its images are sampled unless told otherwise.

    name: what the images are of, None where nothing tells two apart.
    """

    pipeline: RoutedPipeline
    sampling: SamplingConfig
    seed: int = 0
    name: str | None = None

    @property
    def mel(self) -> Mel | None:
        """How images are sounds, None if they are none."""
        return self.pipeline.mel

    def save(self, folder: Path) -> None:
        """Write the pipeline, which `open_source` reads. Raises CheckpointError."""
        self.pipeline.save_pretrained(folder)


def open_source(folder: Path, device: torch.device, dtype: torch.dtype = torch.float32, held: int = 1) -> Source:
    """The mixture of a run's folder, or of one that RoutedPipeline.save_pretrained wrote.

    Raises ConfigError if it is neither, WeightsError if the run's model has other weights now.
    """
    if (folder / RoutedPipeline.config_name).is_file():
        return Source(RoutedPipeline.from_pretrained(folder, device, dtype, held), SamplingConfig())
    run = RunFolder.load(folder)
    recipe, mixture = run.recipe, run.mixture
    model = registry.get("models", recipe.model)()
    teacher = model.load(recipe.weights)
    if weights_digest(teacher) != run.record.how.digests["model"]:
        raise WeightsError(f"{recipe.model} has other weights than when {folder} was made; {run.record.how.command}")
    parts = parts_of(teacher, recipe.sampling.scheduler)
    pipeline = RoutedPipeline.around(parts, mixture, device, dtype, held)
    pipeline.record, pipeline.mel = run.record, model.mel
    return Source(pipeline, recipe.sampling, recipe.seed, run.mixture.parent.name)


def check_folder(folder: Path) -> None:
    """Raise ConfigError or StoreError unless `folder` can be filled: new, empty, or with images of such a command."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; choose another folder with --out")
    if folder.is_dir() and any(folder.iterdir()) and _index(folder) is None:
        raise ConfigError(f"{folder} holds other files; choose a new or an empty folder with --out")
    check_writable(folder, "--out")


def check_apart(place: Path, option: str, source: Path) -> None:
    """Raise StoreError where what is written would lie inside of what is read, or of a finished stage: its digest would change."""
    above = place.resolve().parents
    read = next((each for each in above if each == source.resolve() or (each / MANIFEST).is_file()), None)
    if read is not None:
        raise StoreError(f"{place} lies inside of {read}, which is read; name another place with {option}")


@torch.inference_mode()
def draw(source: Source, prompts: Sequence[str], folder: Path, first: int = 0) -> list[dict[str, Any]]:
    """Write one PNG a prompt, numbered from `first`, which chooses its noise too, and prompts.json beside them.

    Images are written as they are done; their names are numbers whatever the prompts say. A row a prompt: image,
    prompt, index, expert. Spectrograms have a WAV file each beside them. What was killed goes on where it stopped; the
    images of another request go first, or a kill in the middle would pass them off as these. Raises StoreError where
    another command fills the folder.
    """
    routes = source.pipeline.mixture.route(requests.texts(prompts))
    numbers = range(first, first + len(prompts))
    rows = [
        {"image": image_path(folder, number).name, "prompt": prompt, "index": number, "expert": expert}
        for number, prompt, expert in zip(numbers, prompts, routes.tolist(), strict=True)
    ]
    sampling = source.sampling.model_dump(mode="json")
    made = {"of": source.name, "dtype": str(source.pipeline.dtype), "seed": source.seed, "sampling": sampling}
    index = {**made, "images": rows}
    with alone_in(folder, "--out"):  # of two requests at once, one would name the other's images
        there = _index(folder)
        if there is not None and (source.name is None or there != index):
            _clear(folder, there)
        left = [at for at, row in enumerate(rows) if not (folder / row["image"]).is_file()]
        write_json(folder / INDEX, index)
        if left:
            _draw([prompts[at] for at in left], routes[left], [numbers[at] for at in left], source, folder)
    return rows


def _index(folder: Path) -> dict[str, Any] | None:
    """What a command like this left in the folder; None where it holds nothing of the kind."""
    try:
        found = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(found, dict) and found.keys() == {"of", "dtype", "seed", "sampling", "images"}
    return found if ours and all(_is_row(row) for row in found["images"]) else None


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and type(row.get("index")) is int and row["index"] >= 0


def _clear(folder: Path, index: dict[str, Any]) -> None:
    """Remove the images of an index, by their numbers: names in a file are no paths to be followed."""
    for row in index["images"]:
        image = image_path(folder, row["index"])
        for path in (image, image.with_suffix(".wav")):
            path.unlink(missing_ok=True)


def _draw(prompts: list[str], routes: Tensor, numbers: list[int], source: Source, folder: Path) -> None:
    pipe = source.pipeline
    shape = pipe.latent_shape(pipe.layout(routes, 1)[0][0])
    start = requests.Start(source.seed, numbers)
    noise = start.noise(len(prompts), shape, pipe.device, pipe.dtype)
    draws = start.draws(len(prompts), len(prompts))
    request = Request(prompts, [NEGATIVE_PROMPT] * len(prompts), noise, source.sampling, draws)
    for batch in pipe.serve(request, routes):
        for at, image in zip(batch.at, quantised(batch.images), strict=True):
            if source.mel is not None:  # first, so that an image that is there has its sound
                wave = source.mel.waveform(image[..., 0].cpu().numpy())
                sounds.write(image_path(folder, numbers[at]).with_suffix(".wav"), wave, source.mel.rate)
            write_image(folder, numbers[at], image)
