"""What the mini world's two classifiers share: building blocks, a head for every label, and their files.

The blocks are built as Szegedy et al. 2015 (arXiv:1512.00567) build theirs: parallel 1x1, 3x3 and double 3x3 branches, a pooled
branch, reduction by stride.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from aptp_bench.errors import WeightsError

C = TypeVar("C", bound="Classifier")


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU: [n, inputs, h, w] -> [n, outputs, h/stride, w/stride]."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Mixed(nn.Module):
    """Four branches side by side, each a quarter of the width: [n, inputs, h, w] -> [n, outputs, h, w]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        quarter = outputs // 4
        self.one = conv(inputs, quarter, 1)
        self.three = nn.Sequential(conv(inputs, quarter, 1), conv(quarter, quarter, 3))
        self.five = nn.Sequential(conv(inputs, quarter, 1), conv(quarter, quarter, 3), conv(quarter, quarter, 3))
        self.pool = nn.Sequential(nn.AvgPool2d(3, 1, 1), conv(inputs, quarter, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate the branches along the channels."""
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], dim=1)


class Classifier(nn.Module):
    """Pooled features, and a linear head for every label. called: its name in errors; judged: the label of `forward`'s logits.

    layers: what `pool` runs, by name. They are drawn before the heads: weights that were trained from a seed can be had again.
    """

    called: ClassVar[str]
    judged: ClassVar[str]

    def __init__(self, heads: dict[str, int], width: int, **layers: nn.Module) -> None:
        super().__init__()
        self.config = {"heads": dict(heads), "width": width}
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.heads = nn.ModuleDict({name: nn.Linear(width, classes) for name, classes in heads.items()})

    @abstractmethod
    def pool(self, x: Tensor) -> Tensor:
        """Pooled features: [n, width]."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Pooled features and the logits of one label: {"pool": [n, width], "logits": [n, classes]}."""
        pooled = self.pool(x)
        return {"pool": pooled, "logits": self.heads[self.judged](pooled)}

    def classify(self, x: Tensor) -> dict[str, Tensor]:
        """Logits of every label, by its name: [n, classes] each."""
        pooled = self.pool(x)
        return {name: head(pooled) for name, head in self.heads.items()}

    def save(self, folder: Path) -> None:
        """config.json and model.safetensors (float16)."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config, indent=2) + "\n", encoding="utf-8")
        state = {k: v.half() if v.is_floating_point() else v for k, v in self.state_dict().items()}
        save_file({k: v.contiguous() for k, v in state.items()}, folder / "model.safetensors")

    @classmethod
    def load(cls: type[C], folder: Path) -> C:
        """The network in float32 and eval mode. Raises WeightsError if the files do not make one."""
        try:
            net = cls(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
            net.load_state_dict(load_file(folder / "model.safetensors"))  # float16 is copied into float32
        except Exception as err:  # safetensors, json and torch each have their own errors; all mean the same here
            line = " ".join(str(err).split())[:200]
            raise WeightsError(f"{folder} holds no readable {cls.called} ({line}); reinstall or retrain it") from err
        return net.eval()
