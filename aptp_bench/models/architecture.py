"""A pruned U-Net without its weights: small enough to be committed, enough to build the network again for timing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from aptp_bench.core.documents import Frozen
from aptp_bench.errors import CheckpointError
from aptp_bench.models.checkpoint import Pruning, config_of, rebuilt, skeleton


class Architecture(Frozen):
    """config: of the uncut network; pruning: its substitutes, and heads and groups where they changed.

    shapes: path of a convolution, linear layer or norm -> its weight's shape, where that changed.
    """

    config: dict[str, Any]
    pruning: Pruning
    shapes: dict[str, tuple[int, ...]]

    @classmethod
    def of(cls, unet: UNet2DConditionModel) -> Architecture:
        """Read off a network, on the meta device or not. Raises CheckpointError if the parts could not build it again."""
        config, pruning = config_of(unet), Pruning.of(unet)
        whole = Pruning.of(skeleton(config))
        units = {name: _changed(getattr(pruning, name), getattr(whole, name)) for name in ("heads", "groups")}
        whole_width = pruning.model_copy(update={"heads": {}, "groups": {}})
        plain = cls(config=config, pruning=whole_width, shapes={}).build()
        made = cls(
            config=config, pruning=pruning.model_copy(update=units), shapes=_changed(_weights(unet), _weights(plain))
        )
        if _weights(made.build()) != _weights(unet):
            raise CheckpointError("the network holds parameters whose shapes no weight tells; save it whole instead")
        return made

    def build(self) -> UNet2DConditionModel:
        """The network on the meta device, in eval mode. Raises CheckpointError if the parts do not fit each other."""
        return rebuilt(self.config, self.pruning, self._narrowed, "the manifest")

    def drawn(self, device: torch.device | str, seed: int = 0) -> UNet2DConditionModel:
        """The network with random weights, as its layers draw them, made on `device`; torch's generators are left alone."""
        unet: Any = self.build().to_empty(device=device)
        with torch.random.fork_rng(devices=[device] if torch.device(device).type == "cuda" else []):
            torch.manual_seed(seed)
            for tensor in unet.parameters():
                nn.init.normal_(tensor, std=0.02)
            for module in unet.modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()
        return unet.requires_grad_(False)

    def _narrowed(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The dense network's tensors with the changed shapes; a bias is as long as its weight has rows."""
        for path, shape in self.shapes.items():
            tensors[f"{path}.weight"] = torch.empty(shape, device="meta")
            if f"{path}.bias" in tensors:
                tensors[f"{path}.bias"] = torch.empty(shape[0], device="meta")
        return tensors


def _weights(unet: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name.removesuffix(".weight"): tuple(tensor.shape) for name, tensor in unet.state_dict().items()}


def _changed(here: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in here.items() if value != there.get(path) and not path.endswith(".bias")}
