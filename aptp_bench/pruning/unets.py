"""The U-Nets that can be pruned: diffusers' own, and one calling convention for those that read a text and those that do not."""

from __future__ import annotations

from typing import Any

import diffusers
from diffusers.models.unets.unet_2d import UNet2DOutput
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor


class UNet2DModel(diffusers.UNet2DModel):
    """diffusers' U-Net without conditions, called as those with a text are: the text is one implicit condition, not read.

    It is saved and named as diffusers' is.
    """

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        encoder_hidden_states: Tensor | None = None,
        *,
        return_dict: bool = True,
        **_: Any,
    ) -> UNet2DOutput | tuple:
        """sample: [B, C, h, w] -> the prediction, of the same shape."""
        return super().forward(sample, timestep, return_dict=return_dict)


UNet = UNet2DConditionModel | UNet2DModel
KINDS: dict[str, type[UNet2DConditionModel] | type[UNet2DModel]] = {
    "UNet2DConditionModel": UNet2DConditionModel,
    "UNet2DModel": UNet2DModel,
}


def text_width(unet: Any) -> int | None:
    """Width of the text that a U-Net reads; None if it reads none."""
    config = unet.config
    return getattr(config, "encoder_hid_dim", None) or getattr(config, "cross_attention_dim", None)


def tokens_of(pipeline: Any) -> int:
    """Length of the text that the U-Net reads; 1, the implicit condition's, where it reads none."""
    tokenizer = getattr(pipeline, "tokenizer", None)
    return 1 if tokenizer is None else int(tokenizer.model_max_length)
