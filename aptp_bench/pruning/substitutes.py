"""What may stand where a module of a U-Net has been removed.

The table `SUBSTITUTES` is closed: files name a substitute by its key, never by a class path, so that loading a
network runs no code that a file chose. Every substitute keeps the calling convention of what it replaces, so that
stock diffusers code drives the network unchanged.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from torch import Tensor, nn
from torch.nn import functional as F


class Substitute(nn.Module):
    """A stand-in. `settings` rebuilds it: type(x)(**x.settings) has the same shape as x."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings: dict[str, Any] = settings

    def extra_repr(self) -> str:
        """The settings, so that two substitutes that differ also read differently."""
        return ", ".join(f"{name}={value}" for name, value in self.settings.items())


class SkipResnet(Substitute):
    """A closed ResBlock: passes its first `out_channels` channels, the stream without the skip concatenated to it."""

    def __init__(self, out_channels: int) -> None:
        super().__init__(out_channels=out_channels)
        self.in_channels = self.out_channels = out_channels

    def forward(self, input_tensor: Tensor, *_: Any, **__: Any) -> Tensor:
        """input_tensor: [B, C >= out_channels, H, W] -> [B, out_channels, H, W]."""
        return input_tensor[:, : self.out_channels]


class SkipTransformer(Substitute):
    """A closed Transformer2DModel: passes its input, in the container that the caller asks for."""

    def forward(self, hidden_states: Tensor, *_: Any, return_dict: bool = True, **__: Any) -> Any:
        """hidden_states: [B, C, H, W], unchanged, as a 1-tuple or as Transformer2DModelOutput."""
        return Transformer2DModelOutput(sample=hidden_states) if return_dict else (hidden_states,)


class Identity(Substitute):
    """Passes its first argument whatever else it is called with."""

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """x, unchanged."""
        return x


class Zeros(Substitute):
    """A closed branch of a residual: zeros of the input's shape, the last dimension being `width` where it is given."""

    def __init__(self, width: int | None = None) -> None:
        super().__init__(width=width)
        self.width = width

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """x: [..., C] -> zeros [..., width or C]."""
        return x.new_zeros((*x.shape[:-1], x.shape[-1] if self.width is None else self.width))


class Pointwise(Substitute):
    """A 1x1 convolution in place of a ResBlock or of a larger convolution."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels=in_channels, out_channels=out_channels, bias=bias)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=bias)

    @classmethod
    def after(cls, conv: nn.Conv2d) -> Pointwise:
        """One with the weights of a convolution summed over its kernel."""
        weight = conv.weight.detach().sum((2, 3), keepdim=True)
        with torch.device("meta"):  # its own initial weights would take time and random numbers, to be thrown away
            made = cls(weight.shape[1], weight.shape[0], conv.bias is not None)
        made.conv.weight = nn.Parameter(weight, conv.weight.requires_grad)
        if conv.bias is not None:
            made.conv.bias = nn.Parameter(conv.bias.detach().clone(), conv.bias.requires_grad)
        return made

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """x: [B, in_channels, H, W] -> [B, out_channels, H, W]."""
        return self.conv(x)


class PoolPointwise(Pointwise):
    """2x2 average pooling, then a 1x1 convolution: where a module halves the resolution and changes the width."""

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """x: [B, in_channels, H, W] -> [B, out_channels, ceil(H/2), ceil(W/2)]."""
        return self.conv(F.avg_pool2d(x, 2, ceil_mode=True))


class UpsamplePointwise(Pointwise):
    """A 1x1 convolution, then nearest-neighbour interpolation: where a module doubles the resolution and changes the width."""

    def forward(self, x: Tensor, output_size: Any = None, *_: Any, **__: Any) -> Tensor:
        """x: [B, in_channels, H, W] -> [B, out_channels, 2H, 2W], or of `output_size` (see NearestUpsample)."""
        return nearest(self.conv(x), output_size)


class PoolDownsample(Substitute):
    """2x2 average pooling in place of a strided convolution; odd sizes round up as the convolution's do."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(2, ceil_mode=True)

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        """hidden_states: [B, C, H, W] -> [B, C, ceil(H/2), ceil(W/2)]."""
        return self.pool(hidden_states)


class NearestUpsample(Substitute):
    """Nearest-neighbour interpolation without the convolution that follows it."""

    def forward(self, hidden_states: Tensor, output_size: Any = None, *_: Any, **__: Any) -> Tensor:
        """hidden_states: [B, C, H, W] -> [B, C, 2H, 2W], or [B, C, *output_size] where the skip needs another size.

        A tensor in its place is a ResBlock's time embedding, and says nothing.
        """
        return nearest(hidden_states, output_size)


def nearest(x: Tensor, output_size: Any) -> Tensor:
    """x: [B, C, H, W], twice as large, or of `output_size` if it is one."""
    size = None if output_size is None or isinstance(output_size, Tensor) else torch.Size(output_size)
    return F.interpolate(x, size=size, scale_factor=None if size else 2.0, mode="nearest")


SUBSTITUTES: dict[str, type[Substitute]] = {
    "skip_resnet": SkipResnet,
    "skip_transformer": SkipTransformer,
    "identity": Identity,
    "zeros": Zeros,
    "pointwise": Pointwise,
    "pool_pointwise": PoolPointwise,
    "upsample_pointwise": UpsamplePointwise,
    "pool_downsample": PoolDownsample,
    "nearest_upsample": NearestUpsample,
}


def name_of(module: nn.Module) -> str | None:
    """The key of a module's exact type in SUBSTITUTES; None for any other module."""
    return next((name for name, kind in SUBSTITUTES.items() if type(module) is kind), None)
