"""DINOv2, the network that FD-DINOv2 is defined with: transformers' Dinov2Model, its class token after the last norm.

Paper: Oquab et al., "DINOv2", 2023, arXiv:2304.07193. Images as in the code of Stein et al. (github.com/layer6ai-labs/dgm-eval):
squashed to 224 pixels, Pillow's bicubic, ImageNet's mean and deviation.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from aptp_bench.backbones.networks import Backbone
from aptp_bench.models import weights

if TYPE_CHECKING:
    from torch import Tensor

SIZE = 224  # pixels, 16 x 16 patches
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class DINOv2Large(Backbone):
    """DINOv2 ViT-L/14, trained on photographs without labels."""

    name, role, world = "dinov2-large", ("dino",), "paper"
    hub_ids = ("facebook/dinov2-large",)
    macs = {"linear": 8.1e10}
    resize = f"to {SIZE}x{SIZE}, Pillow bicubic with antialias, 8 bits"

    @cached_property
    def network(self) -> Any:
        """transformers' Dinov2Model in float32. Raises WeightsError."""
        from transformers import Dinov2Model

        return weights.load(Dinov2Model, self.source).to(self.device)

    def image_features(self, images: Tensor) -> dict[str, Tensor]:
        """images: uint8 [n, H, W, 3] -> {"pool": [n, d]}."""
        import torch

        from aptp_bench.backbones.preprocess import bicubic, checked

        mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, STD))

        def read(part: Tensor) -> dict[str, Tensor]:
            planes = bicubic(part, SIZE, SIZE).permute(0, 3, 1, 2).float() / 255
            return {"pool": self.network(((planes - mean) / std).to(self.device)).pooler_output}

        return self._batches(checked(images), read)
