"""HPS v2.1's network: open_clip's ViT-H/14, tuned on what people chose among images of one prompt.

Paper: Wu et al. 2023, arXiv:2306.09341. Images are prepared as in the authors' code (github.com/tgxs002/HPSv2,
hpsv2/src/open_clip/transform.py): unlike CLIP's, theirs are resized as tensors, after they became numbers in 0..1. It
runs in float32 here, under float16 autocast there. The authors' file is pickled; it is converted once, and nothing is
unpickled here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aptp_bench.backbones.networks import Backbone
from aptp_bench.errors import WeightsError
from aptp_bench.models import weights

if TYPE_CHECKING:
    from torch import Tensor

ARCHITECTURE = "ViT-H-14"  # of open_clip, unless CONFIG lies beside the weights
CONFIG, MODEL = "open_clip_config.json", "model.safetensors"  # as open_clip names them
REPOSITORY, PICKLED = "xswu/HPSv2", "HPS_v2.1_compressed.pt"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # OpenAI's


class HPSv21(Backbone):
    """HPS v2.1: CLIP ViT-H/14 tuned on human choices (Wu et al. 2023, arXiv:2306.09341), read with open_clip."""

    name, role, world = "hps-v2.1", ("hps",), "paper"
    macs = {"linear": 1.67e11}

    @classmethod
    def fix(cls) -> str | None:
        """The commands that fetch the authors' file and save its tensors as safetensors."""
        target = weights.home() / cls.name
        load = f"torch.load('{target / PICKLED}', weights_only=True)['state_dict']"
        state = f"{{k: v.contiguous().clone() for k, v in {load}.items()}}"
        script = f"import torch, safetensors.torch as s; s.save_file({state}, '{target / MODEL}')"
        return (
            f'fetch and convert them: hf download {REPOSITORY} {PICKLED} --local-dir {target} && python -c "{script}"'
        )

    @cached_property
    def geometry(self) -> dict[str, Any]:
        """open_clip's configuration of the network. Raises WeightsError if the one beside the weights is unreadable."""
        import open_clip

        file = self.source / CONFIG
        if not file.is_file():
            return dict(open_clip.get_model_config(ARCHITECTURE))
        try:
            return dict(json.loads(file.read_text(encoding="utf-8"))["model_cfg"])
        except (ValueError, KeyError, TypeError) as err:
            raise WeightsError(f"{file} is no configuration of open_clip ({err}); fetch or save it again") from err

    @cached_property
    def network(self) -> Any:
        """open_clip's CLIP in float32. Raises WeightsError."""
        import open_clip
        from accelerate import init_empty_weights
        from safetensors.torch import load_file

        geometry, file = self.geometry, self.source / MODEL if self.source.is_dir() else self.source
        try:
            with init_empty_weights(include_buffers=False):  # a billion random numbers would be thrown away
                network = open_clip.CLIP(**geometry)
            network.load_state_dict(load_file(file), assign=True)
        except Exception as err:  # safetensors, torch and open_clip each have their own errors; all mean the same here
            raise WeightsError(
                f"{file} holds no such CLIP of open_clip ({weights.first_line(err)}); save it again"
            ) from err
        return weights.freeze(network.float()).to(self.device)

    @property
    def size(self) -> int:
        """Pixels, width = height, that the network reads."""
        return int(self.geometry["vision_cfg"]["image_size"])

    @property
    def resize(self) -> str:
        """The preprocessing in words."""
        return (
            f"values in 0..1, shortest edge to {self.size}, torchvision bicubic with antialias; "
            f"central crop to {self.size}"
        )

    def image_features(self, images: Tensor) -> dict[str, Tensor]:
        """images: uint8 [n, H, W, 3] -> {"embedding": [n, d]}, rows of unit length."""
        from aptp_bench.backbones.preprocess import checked

        def read(part: Tensor) -> dict[str, Tensor]:
            return {"embedding": self.network.encode_image(prepared(part, self.size).to(self.device), normalize=True)}

        return self._batches(checked(images), read)

    def text_features(self, captions: Sequence[str]) -> Tensor:
        """Captions, cut to the network's text length -> [n, d], rows of unit length."""
        import open_clip

        tokenize = open_clip.SimpleTokenizer(context_length=self.geometry["text_cfg"]["context_length"])

        def read(part: Sequence[str]) -> dict[str, Tensor]:
            return {"embedding": self.network.encode_text(tokenize(list(part)).to(self.device), normalize=True)}

        return self._batches(captions, read)["embedding"]


def prepared(images: Tensor, size: int) -> Tensor:
    """uint8 [n, H, W, 3] -> float32 [n, 3, size, size]: to 0..1, bicubic, central crop, (x - MEAN) / STD."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import center_crop, normalize, resize

    planes = images.permute(0, 3, 1, 2).float() / 255
    small = resize(planes, [size], InterpolationMode.BICUBIC, antialias=True)
    return normalize(center_crop(small, [size, size]), list(MEAN), list(STD))
