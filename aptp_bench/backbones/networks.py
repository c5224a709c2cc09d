"""The networks behind the metrics: each reads an image set once, whatever the number of metrics that ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from aptp_bench import assets
from aptp_bench.contracts.backbone import BackbonePlugin
from aptp_bench.contracts.base import PluginConfig
from aptp_bench.errors import DataError, MetricError, WeightsError
from aptp_bench.models import weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from aptp_bench.backbones.preprocess import Preprocess

INCEPTION = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
)
CLIP_FILES = ("*.json", "*.txt", "model*.safetensors")
MEASURED = 256  # pixels of the images that the papers' metrics look at
MINI_EDGE = 32  # pixels; what the mini world's Inception was trained on


class BackboneConfig(PluginConfig):
    """Where the weights are and how images are fed."""

    weights: str | None = Field(None, description="a local folder or a hub id; none: the default weights")
    batch: int = Field(64, ge=1, description="images or captions a forward pass")
    device: str = Field("auto", description="auto | cpu | cuda | …; auto takes CUDA where there is one")


class Backbone(BackbonePlugin):
    """A network that is loaded at its first use and kept; `source` is where its weights lie."""

    Config = BackboneConfig
    config: BackboneConfig
    embedded: ClassVar[str | None] = None  # folder of the mini world's assets
    hub_ids: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def unavailable(cls) -> str | None:
        """Why the default weights cannot be had, with the command that fixes it; None if they can."""
        return weights.lacking(cls.hub_ids, lambda: cls().source)

    def missing(self) -> str | None:
        """The same of the weights that its settings name; a hub id is looked for when it is needed."""
        named = self.config.weights
        if named is None:
            return self.unavailable()
        return None if weights.on_hub(named) else weights.lacking((), lambda: self.source)

    @cached_property
    def source(self) -> Path:
        """The folder (or file) of the weights. Raises WeightsError if there is none."""
        if self.embedded is not None and self.config.weights is None:
            return assets.path(self.embedded)
        return weights.find(self.name, self.config.weights, self.hub_ids, CLIP_FILES, self.fix())

    @classmethod
    def fix(cls) -> str | None:
        """What to do where the weights are missing, if it is not the usual download."""
        return None

    @property
    def resize(self) -> str:
        """How images are brought to the network's size, in words: part of what makes two numbers comparable."""
        raise NotImplementedError

    @cached_property
    def device(self) -> torch.device:
        """Where the network runs."""
        import torch

        name = self.config.device
        return torch.device("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else torch.device(name)

    @cached_property
    def _sha256(self) -> str:
        return weights.digest(self.source)

    def digest(self) -> str:
        """sha256 of the weights' files."""
        return self._sha256

    def _batches(self, items: Any, read: Callable[[Any], dict[str, Tensor]]) -> dict[str, Tensor]:
        import torch

        if len(items) == 0:
            raise DataError(f"{self.name} was given nothing to read; generate at least one image")
        parts = []
        for start in range(0, len(items), self.config.batch):
            with torch.inference_mode():
                found = read(items[start : start + self.config.batch])
            parts.append({key: value.float().cpu() for key, value in found.items()})
        return {key: torch.cat([part[key] for part in parts]).clone() for key in parts[0]}


class CLIPBackbone(Backbone):
    """A CLIP network saved by transformers: projected embeddings of unit length for images and texts."""

    crop_first: ClassVar[bool] = False
    processor_ids: ClassVar[tuple[str, ...]] = ()  # where tokenizer and preprocessing are, if not beside the weights

    @classmethod
    def fix(cls) -> str | None:
        """One line that fetches the network and saves it as safetensors, for not every repository holds them."""
        target, processor = weights.home() / cls.name, (cls.processor_ids or cls.hub_ids)[:1]
        if not processor:
            return None
        script = (
            "from transformers import CLIPModel as M, CLIPProcessor as P; "
            f"M.from_pretrained('{cls.hub_ids[0]}').save_pretrained('{target}'); "
            f"P.from_pretrained('{processor[0]}').save_pretrained('{target}')"
        )
        return f'fetch and convert them: python -c "{script}"'

    @cached_property
    def network(self) -> Any:
        """transformers' CLIPModel in float32. Raises WeightsError."""
        from transformers import CLIPModel

        return weights.load(CLIPModel, self.source).to(self.device)

    @cached_property
    def processor_source(self) -> Path:
        """The folder of tokenizer and preprocessing: beside the weights, or the one the authors name."""
        if not self.processor_ids or (self.source / "tokenizer_config.json").is_file():
            return self.source
        return weights.find(f"{self.name}-processor", None, self.processor_ids, ("*.json", "*.txt"), self.fix())

    @cached_property
    def preprocess(self) -> Preprocess:
        """uint8 images -> what the network reads."""
        from aptp_bench.backbones.preprocess import Preprocess

        return Preprocess.read(self.processor_source, self.crop_first)

    @cached_property
    def tokenizer(self) -> Any:
        """transformers' CLIPTokenizer. Raises WeightsError."""
        from transformers import CLIPTokenizer

        try:
            with weights.quiet():
                return CLIPTokenizer.from_pretrained(self.processor_source, local_files_only=True)
        except Exception as err:  # transformers raises many kinds; all mean the same here
            line = weights.first_line(err)
            raise WeightsError(
                f"{self.processor_source} holds no readable tokenizer ({line}); fetch or save it again"
            ) from err

    @property
    def resize(self) -> str:
        """The preprocessing in words."""
        return str(self.preprocess)

    @property
    def logit_scale(self) -> float:
        """exp of the learned temperature: what cosines are multiplied by."""
        return float(self.network.logit_scale.exp())

    def image_features(self, images: Tensor) -> dict[str, Tensor]:
        """images: uint8 [n, H, W, 3] -> {"embedding": [n, d]}, rows of unit length."""
        from torch.nn import functional as F

        from aptp_bench.backbones.preprocess import checked

        def read(part: Tensor) -> dict[str, Tensor]:
            found = self.network.get_image_features(pixel_values=self.preprocess(part).to(self.device))
            return {"embedding": F.normalize(found.pooler_output, dim=-1)}

        return self._batches(checked(images), read)

    def text_features(self, captions: Sequence[str]) -> Tensor:
        """Captions, cut to the network's text length -> [n, d], rows of unit length."""
        from torch.nn import functional as F

        length = min(self.tokenizer.model_max_length, self.network.config.text_config.max_position_embeddings)

        def read(part: Sequence[str]) -> dict[str, Tensor]:
            tokens = self.tokenizer(list(part), padding=True, truncation=True, max_length=length, return_tensors="pt")
            found = self.network.get_text_features(**tokens.to(self.device))
            return {"embedding": F.normalize(found.pooler_output, dim=-1)}

        return self._batches(captions, read)["embedding"]


class MiniCLIP(CLIPBackbone):
    """The mini world's CLIP, trained on its captioned scenes."""

    name, role, world, embedded = "mini-clip", ("clip_score", "cmmd"), "mini", "clip"
    macs = {"linear": 1.07e7}


class MiniPick(CLIPBackbone):
    """The mini world's preference model: its CLIP, tuned on pairs of better and worse drawings."""

    name, role, world, embedded = "mini-pick", ("preference",), "mini", "pick"
    macs = {"linear": 1.07e7}


class CLIPViTB32(CLIPBackbone):
    """OpenAI's CLIP ViT-B/32, the one behind the paper's CLIP score."""

    name, role, world = "clip-vit-b-32", ("clip_score", "cmmd"), "paper"
    hub_ids = ("openai/clip-vit-base-patch32",)
    macs = {"linear": 4.4e9}


class CLIPViTL14At336(CLIPBackbone):
    """OpenAI's CLIP ViT-L/14 at 336 pixels, the one CMMD is defined with."""

    name, role, world = "clip-vit-l-14-336", ("cmmd", "clip_score"), "paper"
    hub_ids, crop_first = ("openai/clip-vit-large-patch14-336",), True
    macs = {"linear": 1.91e11}


class PickScoreV1(CLIPBackbone):
    """PickScore v1: CLIP ViT-H/14 tuned on human choices (Kirstain et al. 2023, arXiv:2305.01569)."""

    name, role, world = "pickscore-v1", ("preference",), "paper"
    hub_ids, processor_ids = ("yuvalkirstain/PickScore_v1",), ("laion/CLIP-ViT-H-14-laion2B-s32B-b79K",)
    macs = {"linear": 1.67e11}


class MiniInception(Backbone):
    """The mini world's classifier of scenes, in the place of Inception-v3."""

    name, role, world, embedded = "mini-inception", ("inception",), "mini", "inception"
    macs = {"convolution": 2.54e7}
    resize = f"to {MINI_EDGE}, Pillow bicubic with antialias, 8 bits (as they are if that size)"

    @cached_property
    def network(self) -> nn.Module:
        """The classifier in float32. Raises WeightsError."""
        from aptp_bench.backbones import inception

        return weights.freeze(inception.MiniInception.load(self.source)).to(self.device)

    def image_features(self, images: Tensor) -> dict[str, Tensor]:
        """images: uint8 [n, H, W, 3] -> {"pool": [n, 192], "logits": [n, subjects]}."""
        from aptp_bench.backbones.preprocess import bicubic, checked

        def read(part: Tensor) -> dict[str, Tensor]:
            planes = bicubic(part, MINI_EDGE, MINI_EDGE).permute(0, 3, 1, 2).float()
            return self.network((planes / 127.5 - 1).to(self.device))

        return self._batches(checked(images), read)


class Inception2015(Backbone):
    """Inception-v3 of 2015-12-05, the network FID and Inception Score are defined with."""

    name, role, world = "inception-2015", ("inception",), "paper"
    macs = {"convolution": 5.71e9}

    class Config(BackboneConfig):
        """The default mode is the one of the paper's own script."""

        mode: Literal["legacy_pytorch", "clean", "legacy_tensorflow"] = Field(
            "legacy_pytorch", description="resize and range, as clean-fid names them"
        )

    config: Config

    @classmethod
    def fix(cls) -> str | None:
        """The commands that fetch and convert the official file."""
        target = weights.home() / cls.name / "model.safetensors"
        load = f"torch.load('{INCEPTION.rpartition('/')[2]}', weights_only=True)"
        script = f"import torch, safetensors.torch as s; s.save_file({load}, '{target}')"
        return f'mkdir -p {target.parent} && curl -LO {INCEPTION} && python -c "{script}"'

    @property
    def resize(self) -> str:
        """The mode, and what it does."""
        from aptp_bench.backbones import fid_inception

        return f"{self.config.mode} to {fid_inception.SIZE}"

    @cached_property
    def network(self) -> nn.Module:
        """The network in float32. Raises WeightsError."""
        from aptp_bench.backbones import fid_inception

        return fid_inception.FIDInception.load(self.source).to(self.device)

    def image_features(self, images: Tensor) -> dict[str, Tensor]:
        """images: uint8 [n, H, W, 3] -> {"pool": [n, 2048], "logits": [n, 1008]} (logits without bias)."""
        from aptp_bench.backbones import fid_inception
        from aptp_bench.backbones.preprocess import checked

        prepare = fid_inception.MODES[self.config.mode]
        return self._batches(checked(images), lambda part: self.network(prepare(part).to(self.device)))


class LPIPSAlex(Backbone):
    """AlexNet with the weights of LPIPS 0.1 (Zhang et al. 2018, arXiv:1801.03924): distances of pairs, no features."""

    name, role, world, pairs = "lpips-alex", ("perceptual",), "paper", True
    resize = "as they are"
    macs = {"convolution": 1.74e9}

    @classmethod
    def fix(cls) -> str | None:
        """One line that fetches torchvision's AlexNet and saves it, with the weights that torchmetrics has, as safetensors."""
        target = weights.home() / cls.name / "model.safetensors"
        script = (
            "import safetensors.torch as s; from torchmetrics.image import LearnedPerceptualImagePatchSimilarity as L; "
            f"s.save_file({{k: v for k, v in L('alex').net.state_dict().items() if k[:5] != 'lins.'}}, '{target}')"
        )
        return f'fetch and convert them: mkdir -p {target.parent} && python -c "{script}"'

    @classmethod
    def macs_of(cls, pixels: int) -> dict[Literal["convolution", "linear"], float]:
        """As many more as there are pixels more."""
        return {kind: macs * (pixels / MEASURED) ** 2 for kind, macs in cls.macs.items()}

    @cached_property
    def network(self) -> nn.Module:
        """The network in float32. Raises WeightsError."""
        from aptp_bench.backbones import alexnet

        return alexnet.PerceptualAlexNet.load(self.source).to(self.device)

    def image_features(self, images: Tensor) -> dict[str, Tensor]:
        """Raises MetricError: an image alone has no distance."""
        raise MetricError(f"{self.name} compares pairs of images and has no features of one; choose another backbone")

    def distances(self, images: Tensor, others: Tensor) -> Tensor:
        """uint8 [n, H, W, 3] twice -> [n], 0 for equal images. Raises MetricError for images that are too small."""
        import torch

        from aptp_bench.backbones import alexnet
        from aptp_bench.backbones.preprocess import checked

        pairs = torch.stack([checked(images), checked(others)], dim=1)
        if min(pairs.shape[2:4]) < alexnet.SMALLEST:
            raise MetricError(f"{self.name} reads {alexnet.SMALLEST} pixels or more; measure at a higher resolution")

        def read(part: Tensor) -> dict[str, Tensor]:
            planes = (part.permute(1, 0, 4, 2, 3).float() / 127.5 - 1).to(self.device)
            return {"distance": self.network(*planes)}

        return self._batches(pairs, read)["distance"]
