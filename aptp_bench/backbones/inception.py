"""The mini world's Inception: a small classifier of scenes, whose pooled features and class scores feed FID and Inception Score.

Its classes are the scenes' labels (subject, setting, colour, count); the Inception Score reads the subjects.
"""

from __future__ import annotations

from torch import Tensor, nn

from aptp_bench.backbones.classifier import Classifier, Mixed, conv


class MiniInception(Classifier):
    """Images [n, 3, 32, 32] in [-1, 1] -> {"pool": [n, width], "logits": [n, subjects]}."""

    called, judged = "inception network", "subject"

    def __init__(self, heads: dict[str, int], width: int = 192) -> None:
        features = nn.Sequential(
            conv(3, 32, 3), conv(32, 48, 3, stride=2), Mixed(48, 96), conv(96, 96, 3, stride=2),
            Mixed(96, 128), Mixed(128, 128), conv(128, width, 3, stride=2), Mixed(width, width),
        )  # fmt: skip
        super().__init__(heads, width, features=features)

    def pool(self, x: Tensor) -> Tensor:
        """Mean over the image: [n, width]."""
        return self.features(x).mean(dim=(2, 3))
