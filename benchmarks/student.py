"""A gated U-Net in training, reduced to what gates cost: a forward and a backward pass, with them and without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from aptp_bench.pruning.gates import Gated, GateSpace
from aptp_bench.pruning.macs import example_inputs


@dataclass
class Student:
    """A U-Net, its gates [B, D] and a batch of inputs; a step is a forward and a backward pass."""

    unet: UNet2DConditionModel
    hooks: Gated
    gates: Tensor
    given: dict[str, Tensor]

    @classmethod
    def of(cls, unet: UNet2DConditionModel, batch: int, size: int, tokens: int) -> Student:
        """Latents of size x size; the sample asks for a gradient, so that backward runs through all of the network."""
        first = next(unet.parameters())
        shapes = example_inputs(unet, size, tokens)
        given = {n: torch.randn(batch, *x.shape[1:]).to(first) for n, x in shapes.items() if x.is_floating_point()}
        given["sample"].requires_grad_()
        given["timestep"] = torch.randint(0, 1000, (batch,), device=first.device)
        space = GateSpace.of(unet)
        gates = torch.full((batch, space.size), 0.7, device=first.device, requires_grad=True)
        return cls(unet, Gated(unet, space), gates, given)

    def forget(self) -> None:
        """Drop all gradients."""
        self.unet.zero_grad()
        self.gates.grad = self.given["sample"].grad = None

    def plain(self) -> None:
        """A step without gates: no hook is installed."""
        self.unet(**self.given).sample.float().square().mean().backward()

    def gated(self) -> None:
        """The same step under gates that are set anew, as training does."""
        with self.hooks:
            self.hooks.set(self.gates)
            self.plain()

    def distilled(self, step: Callable[[], None]) -> Callable[[], None]:
        """A step after a dense forward pass, the teacher's."""

        def both() -> None:
            with torch.no_grad():
                self.unet(**self.given)
            step()

        return both
