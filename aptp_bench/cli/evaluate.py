"""aptp-bench evaluate"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from aptp_bench.cli.options import Device, Json, print_json, set_option
from aptp_bench.errors import ConfigError, MetricError

if TYPE_CHECKING:
    from aptp_bench.contracts.evidence import ImageSet
    from aptp_bench.core.recipe import Recipe
    from aptp_bench.generation.image_sets import Fit

EPILOG = "Example: aptp-bench evaluate images/ --captions captions.txt --reals photos/ --metrics fid,clip_score --json"

READ = ("resolution.measure", "metrics", "metric_config", "backbones", "backbone_config")
READ_OF_DATASET = ("dataset_config", "sizes.val")


def evaluate(
    folder: Annotated[Path, typer.Argument(help="Generated images, in the order of their names.")],
    captions: Annotated[
        Path, typer.Option(help="A line an image (.txt), {file: caption} (.json), or file,caption (.csv).")
    ],
    reals: Annotated[Path | None, typer.Option(help="A folder of real images.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Or a dataset's held-out images.")] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Other images of the same prompts, to compare image with image: as many, named in order."),
    ] = None,
    metrics: Annotated[str | None, typer.Option(help="Comma-separated; default: all that read images.")] = None,
    scale: Annotated[str, typer.Option(help="Whose metric networks: mini, or paper for the published ones.")] = "mini",
    settings: Annotated[
        list[str] | None,
        set_option("key=value, as in run: dataset_config.root=DIR, sizes.val=64, metric_config.fid.groups=50."),
    ] = None,
    fit: Annotated[
        Literal["crop", "squash"] | None,
        typer.Option(
            help="Images of several sizes, or no squares: take the central square of each, or squash each; of reals too."
        ),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure a folder of images with captions, however they were made."""
    from aptp_bench import config
    from aptp_bench.evaluation.external_images import Made, captioned, measure_folder

    if reals is not None and dataset is not None:
        raise ConfigError("real images come from --reals or from --dataset, not from both; leave one out")
    names = _names(metrics)
    recipe = config.recipe("dense", dataset or "coco", scale, settings=settings or ())  # "coco": none of it is read
    _check_read(settings or (), dataset)
    captioned(folder, captions)  # refused before torch is loaded, which takes seconds

    from aptp_bench.core import provenance, threads
    from aptp_bench.models.weights import quiet

    threads.use_threads()
    with quiet():
        real_set = _reals(reals, dataset, recipe, fit)
        found = measure_folder(
            Made(folder, captions, reference, fit), real_set, names, recipe, provenance.device(device)
        )
    if as_json:
        print_json(found)
    else:
        from aptp_bench.cli.view import show_measurements

        show_measurements(found)
    if names and found["skipped"]:  # after what was measured is shown: nothing is lost
        lost = "; ".join(f"{name}: {why}" for name, why in found["skipped"].items())
        raise MetricError(f"asked for and not measured: {lost}")


def _check_read(settings: Sequence[str], dataset: str | None) -> None:
    """Raise ConfigError for a setting that nothing here reads: its user would take what is measured for what was asked."""
    read = READ if dataset is None else (*READ, *READ_OF_DATASET)
    for key in (setting.partition("=")[0] for setting in settings):
        if not f"{key}.".startswith(tuple(f"{each}." for each in read)):
            of = " (without --dataset)" if dataset is None else ""
            raise ConfigError(f"--set {key} changes nothing that evaluate measures{of}; it reads {', '.join(read)}")


def _names(metrics: str | None) -> list[str] | None:
    """What a comma stands between. Raises ConfigError for none, and for one that stands there twice."""
    if metrics is None:
        return None
    names = [name.strip() for name in metrics.split(",")]
    if not all(names) or len(set(names)) < len(names):
        what = "names one twice" if all(names) else "has nothing where a name should be"
        raise ConfigError(f"--metrics {metrics} {what}; name each metric once: --metrics fid,clip_score")
    return names


def _reals(folder: Path | None, dataset: str | None, recipe: Recipe, fit: Fit | None) -> ImageSet | None:
    """The real images asked for."""
    from aptp_bench.evaluation.external_images import real_dataset, real_folder

    if folder is not None:
        return real_folder(folder, recipe, fit)
    return real_dataset(recipe, fit) if dataset is not None else None
