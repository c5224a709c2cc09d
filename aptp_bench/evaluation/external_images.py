"""Measuring images that something else made: a folder, a caption for each, and real images for metrics that compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from aptp_bench import registry
from aptp_bench.config import preset
from aptp_bench.contracts.evidence import Evidence, ImageSet
from aptp_bench.data import images, table
from aptp_bench.data.folder import READERS
from aptp_bench.errors import DataError
from aptp_bench.evaluation.evaluate import backbones, measure
from aptp_bench.generation.image_sets import Files, Rows

CAPTION_READERS = {Path(name).suffix: reader for name, reader in READERS.items()}


def measure_folder(
    folder: Path, captions: Path, reals: ImageSet | None, names: Sequence[str] | None, scale: str, device: torch.device
) -> dict[str, Any]:
    """{"world", "images", "results": metric -> measurement, "skipped": metric -> reason}.

    names: the metrics; None: all of the scale's that read images. Raises DataError unless images and captions belong
    together, UnknownNameError for a metric that nothing provides.
    """
    recipe = preset(scale)
    metrics = [registry.get("metrics", name)() for name in names or recipe["metrics"]]
    metrics = [metric for metric in metrics if names or "images" in metric.needs]
    paths, texts = captioned(folder, captions)
    networks, lacking = backbones(recipe["backbones"], device)
    generated = Files(paths, f"generated: {folder}", recipe["resolution"]["measure"])
    evidence = Evidence(captions=texts, image_set=generated, real_set=reals, backbones=networks)
    # the prompts are whatever the file says, so a metric that is usually read on PartiPrompts is read on them too
    results, skipped = measure(metrics, {"dataset": evidence, "partiprompts": evidence}, lacking)
    shown = {name: result.model_dump(mode="json") for name, result in results.items()}
    return {"world": scale, "images": len(paths), "results": shown, "skipped": skipped}


def captioned(folder: Path, captions: Path) -> tuple[list[Path], list[str]]:
    """Images in the order of their names, and the caption of each. Raises DataError."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; give one that holds images")
    if captions.suffix not in CAPTION_READERS:
        raise DataError(f"{captions} is not a captions file; give one of: {', '.join(sorted(CAPTION_READERS))}")
    if not captions.is_file():
        raise DataError(f"there is no file {captions}; write one line a caption, in the order of the images' names")
    files = images.listed(folder)
    if not files:
        raise DataError(f"{folder} holds no images; give a folder of {', '.join(sorted(images.SUFFIXES))} files")
    rows = CAPTION_READERS[captions.suffix](captions, files)
    return [path for path, _ in rows], [text for _, text in rows]


def real_folder(folder: Path, scale: str) -> ImageSet:
    """A folder of real images of any sizes. Raises DataError if it holds none."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; give one of real images with --reals")
    files = images.listed(folder)
    if not files:
        raise DataError(f"{folder} holds no images; give a folder of real images with --reals")
    return Rows(table.of_files(files, [""] * len(files)), f"real: {folder}", preset(scale)["resolution"]["measure"])


def real_dataset(name: str, scale: str) -> ImageSet:
    """The held-out images of a dataset, as many as the scale measures. Raises DataError if it has captions only."""
    recipe = preset(scale)
    source = registry.get("datasets", recipe.get("aliases", {}).get(name, name))()
    if source.captions_only:
        raise DataError(f"dataset '{name}' has captions only; choose one with images: aptp-bench datasets")
    return Rows(source.load("val", recipe["sizes"]["val"]), f"dataset: {name}", recipe["resolution"]["measure"])
