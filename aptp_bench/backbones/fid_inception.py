"""The network of FID and Inception Score: Inception-v3 as Google published it on 2015-12-05.

The blocks are torch-fidelity's (a port of the TensorFlow graph, the same weights as pytorch-fid's); the order of the
layers is written down here so that the network can be made without unpickling a file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn

from aptp_bench.backbones.preprocess import bicubic_float, bilinear
from aptp_bench.errors import WeightsError

SIZE = 299
CLASSES = 1008


class FIDInception(nn.Module):
    """[n, 3, 299, 299] in [-1, 1] -> {"pool": [n, 2048], "logits": [n, 1008]}, the logits without bias."""

    def __init__(self) -> None:
        from torch_fidelity import feature_extractor_inceptionv3 as blocks

        super().__init__()
        conv = blocks.BasicConv2d
        self.Conv2d_1a_3x3 = conv(3, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = conv(32, 64, kernel_size=3, padding=1)
        self.MaxPool_1 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.Conv2d_3b_1x1 = conv(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = conv(80, 192, kernel_size=3)
        self.MaxPool_2 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.Mixed_5b = blocks.InceptionA(192, pool_features=32)
        self.Mixed_5c = blocks.InceptionA(256, pool_features=64)
        self.Mixed_5d = blocks.InceptionA(288, pool_features=64)
        self.Mixed_6a = blocks.InceptionB(288)
        self.Mixed_6b = blocks.InceptionC(768, channels_7x7=128)
        self.Mixed_6c = blocks.InceptionC(768, channels_7x7=160)
        self.Mixed_6d = blocks.InceptionC(768, channels_7x7=160)
        self.Mixed_6e = blocks.InceptionC(768, channels_7x7=192)
        self.Mixed_7a = blocks.InceptionD(768)
        self.Mixed_7b = blocks.InceptionE_1(1280)
        self.Mixed_7c = blocks.InceptionE_2(2048)
        self.AvgPool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2048, CLASSES)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Pooled features and unbiased logits."""
        for name, layer in self.named_children():  # in the order they were made, which is the order of the graph
            if name != "fc":
                x = layer(x)
        pool = x.flatten(1)
        return {"pool": pool, "logits": pool @ self.fc.weight.T}

    @classmethod
    def load(cls, path: Path) -> FIDInception:
        """The network from a safetensors file in torch-fidelity's key layout, or a folder with model.safetensors.

        Raises WeightsError if the file is corrupt or of another network.
        """
        file = path / "model.safetensors" if path.is_dir() else path
        network = cls()
        try:
            network.load_state_dict(load_file(file))
        except Exception as err:  # safetensors and torch each have their own errors; all mean the same here
            line = str(err).splitlines()[0]
            raise WeightsError(
                f"{file} holds no Inception network of 2015-12-05 ({line}); convert the official file again"
            ) from err
        return network.float().eval().requires_grad_(False)


def legacy_pytorch(images: Tensor) -> Tensor:
    """As pytorch-fid and the paper's script: bilinear without antialias, 2x/255 - 1."""
    return bilinear(images, SIZE, SIZE) / 255 * 2 - 1


def clean(images: Tensor) -> Tensor:
    """As clean-fid by default: Pillow bicubic in float, (x - 128) / 128."""
    return (bicubic_float(images, SIZE) - 128) / 128


def legacy_tensorflow(images: Tensor) -> Tensor:
    """As in the TensorFlow graph and torch-fidelity: bilinear without half-pixel centres, (x - 128) / 128."""
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    planes = images.permute(0, 3, 1, 2).float()
    return (interpolate_bilinear_2d_like_tensorflow1x(planes, size=(SIZE, SIZE), align_corners=False) - 128) / 128


MODES: dict[str, Callable[[Tensor], Tensor]] = {  # uint8 [n, H, W, 3] -> [n, 3, 299, 299]
    "legacy_pytorch": legacy_pytorch,
    "clean": clean,
    "legacy_tensorflow": legacy_tensorflow,
}
