"""One network or one mixture in a folder, and back: `aptp_bench.save` and `aptp_bench.load`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import torch

from aptp_bench.core import provenance
from aptp_bench.core.files import written_aside
from aptp_bench.errors import CheckpointError, ConfigError, spoken_in_python
from aptp_bench.models import weights as sources
from aptp_bench.models.architecture import Architecture
from aptp_bench.models.checkpoint import PRUNING, WEIGHTS, load_unet, save_unet
from aptp_bench.models.mixture import INDEX, Mixture
from aptp_bench.pruning.unets import UNet

FILES = ("*.json", "*.jsonl", "*.txt", "*.safetensors", "*.md")  # of a repository, in its folders too; nothing pickled
DIFFUSERS = "diffusion_pytorch_model.safetensors.index.json"  # where diffusers looks which file holds which weight
PIPELINE, CONFIG = "model_index.json", "config.json"


def save(network: UNet | Mixture, folder: str | Path) -> Path:
    """Write a U-Net, pruned or not, or a mixture to `folder`, which appears whole or not at all; where it lies.

    A U-Net whose every layer is as its config says opens in diffusers too: `UNet2DConditionModel.from_pretrained(folder)`.
    Of any other, diffusers finds no weights and says so: it would fill what it does not know with random numbers.
    `load` reads both. Raises CheckpointError if the folder holds other things, ConfigError for what is neither.
    """
    folder = Path(folder)
    if isinstance(network, Mixture):
        network.save(folder)
        return folder
    if not isinstance(network, diffusers.UNet2DConditionModel | diffusers.UNet2DModel):
        raise ConfigError(f"a {type(network).__name__} is not saved here; give one of diffusers' U-Nets or a Mixture")
    with written_aside(folder, marker=PRUNING, ours=DIFFUSERS) as aside:
        save_unet(network, aside)
        if opens_in_diffusers(network):
            tensors = network.state_dict()
            size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
            index = {"metadata": {"total_size": size}, "weight_map": dict.fromkeys(tensors, WEIGHTS)}
            (aside / DIFFUSERS).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return folder


@spoken_in_python()
def load(source: str | Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> UNet | Mixture:
    """What `save` wrote, in eval mode; dtype: as stored if None. source: a folder, or a hub id, which is fetched.

    Raises WeightsError, CheckpointError among them, if a file is missing, corrupt or does not fit, ConfigError for a
    device that is not there.
    """
    check_dtype("dtype", dtype)
    device = provenance.device(str(device))
    folder = sources.find("load", str(source), (), FILES)
    if (folder / PIPELINE).is_file():
        raise CheckpointError(f"{source} holds a whole pipeline; open it with RoutedPipeline.from_pretrained")
    if not (folder / INDEX).is_file() and not (folder / PRUNING).is_file() and (folder / CONFIG).is_file():
        raise CheckpointError(
            f"{source} was not saved here but by diffusers; open it with from_pretrained of its class"
        )
    return Mixture.load(folder, device, dtype) if (folder / INDEX).is_file() else load_unet(folder, device, dtype)


def check_dtype(name: str, given: Any) -> None:
    """Raise ConfigError for what is no type of networks' weights. name: of the argument; None: it is not given."""
    if given is not None and not (isinstance(given, torch.dtype) and given.is_floating_point):
        raise ConfigError(f"{name} is {given!r}; give one of torch's floating types, e.g. torch.float16")


def opens_in_diffusers(unet: Any) -> bool:
    """Whether a U-Net's config alone says every layer, its width, its heads and its groups."""
    made = Architecture.of(unet)
    return not (made.shapes or made.pruning.substitutes or made.pruning.heads or made.pruning.groups)
