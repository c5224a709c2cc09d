"""The network of LPIPS: AlexNet's five activations, and a weight for each of their channels.

Paper: Zhang et al. 2018, arXiv:1801.03924, Eq. 1. The layers are torchvision's; the weights, ImageNet's and the authors' "lin"
0.1, are read from a state that torchmetrics can save, and nothing is unpickled here.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from aptp_bench.errors import WeightsError

ACTIVATIONS = {1: 64, 4: 192, 7: 384, 9: 256, 11: 256}  # torchvision's layer -> its channels
SHIFT, SPREAD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's mean and deviation, for values in -1..1
SMALLEST = 31  # pixels that the layers can read
EPSILON = 1e-8
LAYER = re.compile(r"net\.slice\d\.(\d+\.(?:weight|bias))")
HEAD = re.compile(r"lin(\d)\.model\.1\.weight")


class PerceptualAlexNet(nn.Module):
    """Two batches of images, [n, 3, H, W] in [-1, 1] -> their distances, [n]."""

    def __init__(self) -> None:
        from torchvision.models import alexnet

        super().__init__()
        self.layers = alexnet(weights=None).features[: max(ACTIVATIONS) + 1]
        self.heads = nn.ParameterList([torch.zeros(width) for width in ACTIVATIONS.values()])

    @classmethod
    def load(cls, path: Path) -> PerceptualAlexNet:
        """The network of a safetensors file, or of a folder with model.safetensors. Raises WeightsError."""
        file = path / "model.safetensors" if path.is_dir() else path
        network = cls()
        try:
            state = load_file(file)
            layers = {f"layers.{found[1]}": state[key] for key in state if (found := LAYER.fullmatch(key))}
            heads = {f"heads.{found[1]}": state[key].flatten() for key in state if (found := HEAD.fullmatch(key))}
            network.load_state_dict({**layers, **heads})
        except Exception as err:  # safetensors and torch each have their own errors; all mean the same here
            line = str(err).splitlines()[0]
            raise WeightsError(f"{file} holds no LPIPS network on AlexNet ({line}); save it again") from err
        return network.float().eval().requires_grad_(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Eq. 1: squared differences of unit-length activations, weighted by channel, mean over places, summed over layers."""
        shift, spread = (a.new_tensor(each)[:, None, None] for each in (SHIFT, SPREAD))
        both = (torch.cat([a, b]) - shift) / spread
        heads = iter(self.heads)
        distance = a.new_zeros(len(a))
        for place, layer in enumerate(self.layers):
            both = layer(both)
            if place in ACTIVATIONS:
                one, other = (both / (both.square().sum(dim=1, keepdim=True) + EPSILON).sqrt()).chunk(2)
                weighted = (one - other).square() * next(heads)[:, None, None]
                distance = distance + weighted.sum(dim=1).mean(dim=(1, 2))
        return distance
