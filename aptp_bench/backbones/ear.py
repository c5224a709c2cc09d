"""The mini world's ear: a small classifier of sounds, whose pooled features feed FAD.

Where a pattern lies in frequency is what pitch and register are, and where in time says little, so that the last layer sees all
frequencies at once, each in its place, and the mean is taken over time alone.
"""

from __future__ import annotations

from torch import Tensor, nn

from aptp_bench.backbones.classifier import Classifier, Mixed, conv

EDGE = 64  # bands and frames of the mini world's Mel spectrograms


def seen(spectrograms: Tensor) -> Tensor:
    """uint8 [n, 64, 64] -> what the network reads: float32 [n, 1, 64, 64] in [-1, 1]."""
    return spectrograms[:, None].float() / 127.5 - 1


class MiniEar(Classifier):
    """Mel spectrograms [n, 1, 64, 64] in [-1, 1] -> {"pool": [n, width], "logits": [n, kinds]}."""

    called, judged = "ear", "kind"

    def __init__(self, heads: dict[str, int], width: int = 128) -> None:
        features = nn.Sequential(
            conv(1, 24, 3, stride=2), conv(24, 48, 3, stride=2), Mixed(48, 64), conv(64, 96, 3, stride=2),
            Mixed(96, 128), conv(128, 128, 3, stride=2),
        )  # fmt: skip
        across = nn.Sequential(nn.Conv2d(128, width, (EDGE // 16, 1), bias=False), nn.BatchNorm2d(width), nn.ReLU())
        super().__init__(heads, width, features=features, across=across)

    def pool(self, x: Tensor) -> Tensor:
        """Features of all frequencies, mean over time: [n, width]."""
        return self.across(self.features(x)).mean(dim=(2, 3))
