"""The prompt encoder: a frozen SentenceTransformer, z = f_PE(p) (APTP, arXiv:2406.12042, eq. 3)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from aptp_bench.assets import path as asset
from aptp_bench.errors import WeightsError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

EMBEDDED = "embedded:sentence_encoder"
PAPER = "sentence-transformers/all-mpnet-base-v2"  # named by the authors' code, not by the paper


def default(scale: str) -> str:
    """The encoder of a world: the embedded one, or the authors' at scale paper."""
    return PAPER if scale == "paper" else EMBEDDED


def check(name: str) -> None:
    """Raise WeightsError if the encoder cannot be had; an embedded one is only looked for, others are loaded."""
    if name.startswith("embedded:"):
        asset(name.partition(":")[2])
    else:
        _model(name)


class PromptEncoder:
    """Prompts -> z. `name`: a hub id, a folder, or an embedded model."""

    def __init__(self, name: str, device: torch.device | str = "cpu") -> None:
        self.name, self.device = name, torch.device(device)

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """n prompts -> z [n, d], float32 on the CPU; each text is encoded once. Raises WeightsError if the model cannot be loaded."""
        unique = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
        model = _model(self.name).to(self.device)
        z = model.encode(list(unique), convert_to_tensor=True, show_progress_bar=False).float().cpu()
        return z[[unique[prompt] for prompt in prompts]].clone()

    @property
    def width(self) -> int:
        """d: 768 for the paper's."""
        return self(["width"]).shape[1]

    def digest(self) -> str:
        """sha256 over the names and values of the weights: routes of another encoder mean nothing."""
        whole = hashlib.sha256()
        for name, tensor in sorted(_model(self.name).state_dict().items()):
            whole.update(name.encode())
            whole.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return whole.hexdigest()


@cache
def _model(name: str) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer

    source: Any = str(asset(name.partition(":")[2])) if name.startswith("embedded:") else name
    try:
        return SentenceTransformer(source, device="cpu").eval().requires_grad_(False)
    except (OSError, ValueError) as err:
        first = str(err).splitlines()[0]
        raise WeightsError(
            f"the prompt encoder '{name}' cannot be loaded ({first}); give a folder: --set encoder=FOLDER"
        ) from err
