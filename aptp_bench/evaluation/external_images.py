"""Measuring images that something else made: a folder, a caption for each, and real images for metrics that compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aptp_bench import registry
from aptp_bench.contracts.evidence import Evidence, ImageSet, Reference
from aptp_bench.core.names import check_order, check_places, place
from aptp_bench.core.recipe import Recipe
from aptp_bench.data import images, table
from aptp_bench.data.captions import READERS, matched
from aptp_bench.errors import ConfigError, DataError

if TYPE_CHECKING:
    import torch

    from aptp_bench.generation.image_sets import Files, Fit


@dataclass(frozen=True)
class Made:
    """A folder of images, and the file of their captions.

    reference: a folder of other images of the same prompts, in the order of their names; fit: how images of several sizes, or
    that are no squares, are brought to one, None: they are refused.
    """

    folder: Path
    captions: Path
    reference: Path | None = None
    fit: Fit | None = None


def measure_folder(
    made: Made, reals: ImageSet | None, names: Sequence[str] | None, recipe: Recipe, device: torch.device
) -> dict[str, Any]:
    """{"world", "images", "results": metric -> measurement, "skipped": metric -> reason}.

    names: the metrics; None: all of the recipe's that read images; their options, networks and pixels are the recipe's.
    Raises DataError unless images and captions, and images and reference, belong together, UnknownNameError for a metric that
    nothing provides, ConfigError for one of `names` that cannot be measured.
    """
    from aptp_bench.evaluation.evaluate import backbones, companions, measure, metrics_of, obstacle
    from aptp_bench.generation.image_sets import Files

    metrics = metrics_of(recipe.model_copy(update={"metrics": tuple(names or recipe.metrics)}))
    metrics = [metric for metric in metrics if names or "images" in metric.needs]
    paths, texts = captioned(made.folder, made.captions)
    networks, lacking = backbones(recipe.backbones, device, recipe.backbone_config)
    generated = Files(paths, f"generated: {made.folder}", recipe.resolution.measure, made.fit)
    other = None if made.reference is None else _reference(made.reference, made.folder, generated)
    wanted = companions(metrics, networks)
    evidence = Evidence(texts, generated, reals, networks, reference=other, companions=wanted)
    for metric in metrics if names else ():
        if reason := obstacle(metric, evidence, lacking):
            raise ConfigError(f"{metric.name} cannot be measured here: {reason}; give it that, or leave it out")
    # the prompts are whatever the file says, so a metric that is usually read on PartiPrompts is read on them too
    results, skipped = measure(metrics, {"dataset": evidence, "partiprompts": evidence}, lacking)
    shown = {name: result.model_dump(mode="json") for name, result in results.items()}
    return {"world": recipe.scale, "images": len(paths), "results": shown, "skipped": skipped}


def captioned(folder: Path, captions: Path) -> tuple[list[Path], list[str]]:
    """Images in the order of their names, and the caption of each. Raises DataError."""
    files = _images(folder, "give one of images")
    if captions.suffix in READERS and not captions.is_file():
        raise DataError(f"there is no file {captions}; write one line a caption, in the order of the images' names")
    rows = matched(captions, files)
    return [path for path, _ in rows], [text for _, text in rows]


def real_folder(folder: Path, recipe: Recipe, fit: Fit | None = None) -> ImageSet:
    """A folder of real images of any sizes, brought to one as those that are measured; by their central squares if None.

    Raises DataError if it holds none.
    """
    from aptp_bench.generation.image_sets import Rows

    files = _images(folder, "give one of real images with --reals")
    rows = table.of_files(files, [""] * len(files))
    return Rows(rows, f"real: {folder}", recipe.resolution.measure, fit or "crop")


def real_dataset(recipe: Recipe, fit: Fit | None = None) -> ImageSet:
    """The held-out images of its dataset, as many as it measures, brought to one size as `real_folder` does it.

    Raises DataError if it has captions only.
    """
    from aptp_bench.generation.image_sets import Rows

    source = registry.get("datasets", recipe.dataset)(**recipe.dataset_config)
    if source.captions_only:
        raise DataError(f"dataset '{recipe.dataset}' has captions only; choose one with images: aptp-bench datasets")
    rows = source.load("val", recipe.sizes.val)
    return Rows(rows, f"dataset: {recipe.dataset}", recipe.resolution.measure, fit or "crop")


def _reference(folder: Path, of: Path, made: Files) -> Reference:
    files = _images(folder, "give one of images of the same prompts with --reference")
    if len(files) != len(made):
        fix = "give one for each, named in their order"
        raise DataError(f"{folder} holds {len(files)} images for {len(made)} to compare with; {fix}")
    ours, theirs = ({place(path): path.name for path in paths} for paths in (made.paths, files))
    for paths in (made.paths, files):  # names that are the same on both sides say by themselves which is of which
        (check_places if ours.keys() == theirs.keys() else check_order)(paths)
    if ours.keys() & theirs.keys() and (odd := sorted(theirs[key] for key in theirs.keys() - ours.keys())):
        fix = "name each image and its reference alike, or none"
        raise DataError(
            f"{folder} shares names with {of} and has {odd[0]} besides, so it is not clear which is of which; {fix}"
        )
    found = replace(made, paths=files, digest=f"reference: {folder}")
    return Reference(found, f"the images of {folder.name}")


def _images(folder: Path, fix: str) -> list[Path]:
    """The images of a folder, in the order of their names. Raises DataError with the fix if there are none."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; {fix}")
    files = images.listed(folder)
    if not files:
        raise DataError(f"{folder} holds no images ({', '.join(sorted(images.SUFFIXES))}); {fix}")
    return files
