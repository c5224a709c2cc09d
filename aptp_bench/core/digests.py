"""sha256 digests of what decides numbers: weights, captions, data. Two records are alike only where these are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datasets
    from diffusers import StableDiffusionPipeline

PICTURES = 64  # of a dataset, evenly spaced, that its digest reads; captions are read all


def weights_digest(pipeline: StableDiffusionPipeline) -> str:
    """sha256 over the pipeline's tensors, its configurations and its vocabulary, wherever they were loaded from."""
    import torch

    whole = hashlib.sha256()
    networks = {name: getattr(pipeline, name, None) for name in ("unet", "vae", "text_encoder")}
    for name, network in networks.items():
        for key, tensor in [] if network is None else sorted(network.state_dict().items()):
            whole.update(f"{name}.{key}:{tuple(tensor.shape)}:{tensor.dtype}".encode())
            whole.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    configs = {name: getattr(pipeline, name).config for name in ("scheduler", "vae")}
    # private entries name folders and versions
    facts = {name: {k: v for k, v in config.items() if not k.startswith("_")} for name, config in configs.items()}
    if networks["text_encoder"] is not None:
        facts["vocabulary"] = pipeline.tokenizer.get_vocab()
    whole.update(json.dumps(facts, sort_keys=True, default=str).encode())
    return whole.hexdigest()


def captions_digest(captions: Iterable[str]) -> str:
    """sha256 over captions in their order."""
    return hashlib.sha256("\n".join(captions).encode()).hexdigest()


def data_digest(dataset: datasets.Dataset) -> str:
    """sha256 over all captions and, where there are images, PICTURES of them evenly spaced."""
    whole = hashlib.sha256(captions_digest(dataset["caption"]).encode())
    if "image" in dataset.column_names:
        step = max(1, len(dataset) // PICTURES)
        for index in range(0, len(dataset), step):
            image = dataset[index]["image"].convert("RGB")
            whole.update(f"{index}:{image.size}".encode())
            whole.update(image.tobytes())
    return whole.hexdigest()
