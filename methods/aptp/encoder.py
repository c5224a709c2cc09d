"""The prompt encoder: a frozen SentenceTransformer, z = f_PE(p) (APTP, arXiv:2406.12042, eq. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from aptp_bench.assets import path as asset
from aptp_bench.core.files import at_home
from aptp_bench.errors import WeightsError
from aptp_bench.models import weights

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

EMBEDDED = "embedded:sentence_encoder"
PAPER = "sentence-transformers/all-mpnet-base-v2"  # named by the authors' code, not by the paper
BATCH = 256  # prompts encoded at once
FILES = ("*.json", "*.txt", "*/*.json", "model.safetensors", "*/model.safetensors")


def default(scale: str) -> str:
    """The encoder of a world: the embedded one, or the authors' at scale paper."""
    return PAPER if scale == "paper" else EMBEDDED


class PromptEncoder:
    """Prompts -> z. `name`: an embedded model, a folder, or a hub id; device: a GPU if there is one, unless told."""

    def __init__(self, name: str, device: torch.device | str | None = None) -> None:
        import torch

        self.name = name
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """n prompts -> z [n, d], float32 on the CPU; each text is encoded once.

        Raises WeightsError if the model is not there or cannot be read.
        """
        unique = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
        model = _model(found(self.name)).to(self.device)
        z = model.encode(list(unique), batch_size=BATCH, convert_to_tensor=True, show_progress_bar=False).float().cpu()
        return z[[unique[prompt] for prompt in prompts]].clone()

    def digest(self) -> str:
        """sha256 of the weights: under another encoder a saved route means nothing."""
        return weights.digest(found(self.name))


def found(name: str) -> Path:
    """The encoder's folder; it is looked for, not loaded. Raises WeightsError if it is not at hand."""
    if name.startswith("embedded:"):
        return asset(name.partition(":")[2])
    fix = f"fetch it (APTP_BENCH_ALLOW_DOWNLOAD=1) or name the folder where it lies as the encoder (asked for: {name})"
    local = at_home(name)
    if local.is_dir():
        return local
    return weights.find(name.rpartition("/")[2], None, [name], FILES, fix)


@cache
def _model(folder: Path) -> SentenceTransformer:
    import torch
    from sentence_transformers import SentenceTransformer

    try:
        with weights.quiet():
            model = SentenceTransformer(
                str(folder),
                device="cpu",
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "torch_dtype": torch.float32},
            )
    except Exception as err:  # each module of a SentenceTransformer has its own errors; all mean the same here
        what = f"{folder} holds no readable SentenceTransformer ({weights.first_line(err)})"
        raise WeightsError(f"{what}; fetch or save it again") from err
    return model.float().eval().requires_grad_(False)
