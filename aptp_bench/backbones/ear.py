"""The mini world's ear: a small classifier of sounds, whose pooled features feed FAD.

Built of the blocks of the mini Inception. Where a pattern lies in frequency is what pitch and register are, and where in time says
little, so that the last layer sees all frequencies at once, each in its place, and the mean is taken over time alone.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from aptp_bench.backbones.inception import Mixed, conv
from aptp_bench.errors import WeightsError

EDGE = 64  # bands and frames of the mini world's Mel spectrograms


def seen(spectrograms: Tensor) -> Tensor:
    """uint8 [n, 64, 64] -> what the network reads: float32 [n, 1, 64, 64] in [-1, 1]."""
    return spectrograms[:, None].float() / 127.5 - 1


class MiniEar(nn.Module):
    """Mel spectrograms [n, 1, 64, 64] in [-1, 1] -> {"pool": [n, width], "logits": [n, kinds]}."""

    def __init__(self, heads: dict[str, int], width: int = 128) -> None:
        super().__init__()
        self.config = {"heads": dict(heads), "width": width}
        self.features = nn.Sequential(
            conv(1, 24, 3, stride=2), conv(24, 48, 3, stride=2), Mixed(48, 64), conv(64, 96, 3, stride=2),
            Mixed(96, 128), conv(128, 128, 3, stride=2),
        )  # fmt: skip
        self.across = nn.Sequential(
            nn.Conv2d(128, width, (EDGE // 16, 1), bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.heads = nn.ModuleDict({name: nn.Linear(width, classes) for name, classes in heads.items()})

    def pool(self, x: Tensor) -> Tensor:
        """Features of all frequencies, mean over time: [n, width]."""
        return self.across(self.features(x)).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Pooled features and the logits of the kinds."""
        pooled = self.pool(x)
        return {"pool": pooled, "logits": self.heads["kind"](pooled)}

    def classify(self, x: Tensor) -> dict[str, Tensor]:
        """Logits of every label: {"kind": [n, …], "pitch": …}."""
        pooled = self.pool(x)
        return {name: head(pooled) for name, head in self.heads.items()}

    def save(self, folder: Path) -> None:
        """config.json and model.safetensors (float16)."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config, indent=2) + "\n", encoding="utf-8")
        state = {k: v.half() if v.is_floating_point() else v for k, v in self.state_dict().items()}
        save_file({k: v.contiguous() for k, v in state.items()}, folder / "model.safetensors")

    @classmethod
    def load(cls, folder: Path) -> MiniEar:
        """The network in float32 and eval mode. Raises WeightsError if the files do not make one."""
        try:
            net = cls(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
            net.load_state_dict(load_file(folder / "model.safetensors"))  # float16 is copied into float32
        except Exception as err:  # safetensors, json and torch each have their own errors; all mean the same here
            line = " ".join(str(err).split())[:200]
            raise WeightsError(f"{folder} holds no readable ear ({line}); reinstall or retrain it") from err
        return net.eval()
