"""Serving: a diffusers pipeline that sends every prompt to its expert.

Prompts are routed, batched by expert and sampled; images come back in the order of the prompts. Each image starts from
its own noise, and on a CPU its batch changes none of its bits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.utils import BaseOutput
from PIL import Image
from torch import Tensor

from aptp_bench.audio.mel import Mel
from aptp_bench.core import provenance
from aptp_bench.core.files import written_aside
from aptp_bench.core.lazy import OnDemand
from aptp_bench.core.settings import SamplingConfig
from aptp_bench.errors import CheckpointError, ConfigError, WeightsError, spoken_in_python
from aptp_bench.generation.generate import batches
from aptp_bench.generation.sampling import PARTS, SCHEDULERS, finite, parts_of, quantised
from aptp_bench.models.checkpoint import AGAIN, json_document
from aptp_bench.models.mixture import INDEX, Mixture, part_digest, saved_experts
from aptp_bench.models.pipelines import saved_parts
from aptp_bench.models.storage import FILES, check_dtype
from aptp_bench.models.unconditional_pipeline import AUTOENCODERS
from aptp_bench.models.weights import HUB_ID, find, quiet
from aptp_bench.records import Record, load
from aptp_bench.serving import hub, requests
from aptp_bench.serving.model_card import PIPELINE, RECORD
from aptp_bench.serving.requests import Request
from aptp_bench.serving.steps import TENSORS, Callback, OwnDraws, offloaded, on_device, watched

MIXTURE = "mixture"
MARKER = f"{MIXTURE}/{INDEX}"  # a folder that has it was written here
MEL = "mel/mel_config.json"  # as in AudioDiffusion's repositories
DIGESTS = "_digests"  # in the index: part -> of its files; none in folders of earlier releases
PREDICTED = ("epsilon", "v_prediction")  # what a network of ours may predict
MULTIPLE = 8  # diffusers refuses other heights and widths, whatever the autoencoder
OutputType = Literal["pil", "pt", "np", "latent"]
# words of diffusers' that are taken where they ask for what is done anyway
ASKED_ANYWAY: dict[str, tuple[Any, ...]] = {
    "safe_serialization": (True, None),
    "use_safetensors": (True, None),
    "use_flashpack": (False, None),
    "push_to_hub": (False, None),
    "low_cpu_mem_usage": (True, False, None),
    "trust_remote_code": (False, None),
}


@dataclass
class RoutedOutput(BaseOutput):
    """images: in the order of the prompts, of the type asked for; experts: which one made each, int64 [n]."""

    images: Any
    experts: Tensor


@dataclass(frozen=True)
class ServedBatch:
    """One batch: the expert, the positions of its prompts in the request, and their images (or latents) [len(at), ...]."""

    expert: int
    at: list[int]
    images: Tensor


class RoutedPipeline(DiffusionPipeline):
    """A mixture at work: the parts of a pipeline around experts and the router over them.

    Of a model that reads no prompts there are no text_encoder and no tokenizer, and prompts are empty texts.

    mixture: its experts are used where they are; `from_pretrained` reads them when they are asked for and holds a few.
    """

    mixture: Mixture
    record: Record | None = None  # of the run that made it: its model card is written from it
    mel: Mel | None = None  # how images are sounds; None where they are none
    model_cpu_offload_seq = "text_encoder->vae"  # and each expert between them, while it works
    _optional_components = ["text_encoder", "tokenizer"]
    _callback_tensor_inputs = TENSORS
    _interrupt = False

    def __init__(
        self, vae: Any, scheduler: Any, mixture: Mixture, text_encoder: Any = None, tokenizer: Any = None
    ) -> None:
        super().__init__()
        self.register_modules(
            vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, scheduler=scheduler, mixture=mixture
        )
        self._source: Path | None = None  # of experts that are read when asked for
        self._held = 1
        self._placed = (self.device, self.dtype)  # where experts are, or are read to

    @classmethod
    def of(cls, teacher: StableDiffusionPipeline, mixture: Mixture, scheduler: str = "pndm") -> RoutedPipeline:
        """The teacher's parts, which stay as they are, around a mixture. scheduler: "pndm" or "ddim".

        teacher: the pipeline that was pruned, also one of a model without prompts. Raises ConfigError.
        """
        _check_mixture(mixture)
        if not isinstance(teacher, DiffusionPipeline):
            raise ConfigError(f"a {type(teacher).__name__} is no pipeline; give the one that was pruned")
        if scheduler not in SCHEDULERS:
            raise ConfigError(f"unknown scheduler '{scheduler}'; take one of {', '.join(SCHEDULERS)}")
        parts = parts_of(teacher, scheduler)
        found = next((part for name in AUTOENCODERS if (part := getattr(teacher, name, None)) is not None), None)
        if found is None:
            raise ConfigError(f"a {type(teacher).__name__} has no autoencoder, and mixtures are served with one")
        return cls(**{**parts, "vae": found}, mixture=mixture)

    @classmethod
    def around(
        cls,
        parts: dict[str, Any],
        folder: Path,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        held: int = 1,
    ) -> RoutedPipeline:
        """`parts` (by name) around the mixture saved in `folder`: experts are read when asked for, at most `held` stay.

        Raises CheckpointError, ConfigError.
        """
        made = cls(**parts, mixture=Mixture.load(folder, device, dtype, lazy=True, held=held))
        made._source, made._held = Path(folder), held
        return made.to(device, dtype)

    @classmethod
    def from_pipe(cls, pipeline: DiffusionPipeline, **parts: Any) -> RoutedPipeline:  # type: ignore[override]
        """The parts of another pipeline, which are shared; those that are named (scheduler=…, mixture=…) in their places.

        pipeline: a RoutedPipeline, or one of diffusers' with `mixture` given. dtype: None leaves the shared parts as they
        are, where diffusers moves them to float32. Raises ConfigError.
        """
        dtype = _dtype(parts.pop("dtype", None), parts.pop("torch_dtype", None))
        if unknown := parts.keys() - {*PARTS, MIXTURE}:
            raise ConfigError(f"a RoutedPipeline has no {min(unknown)}; its parts are {', '.join((*PARTS, MIXTURE))}")
        if MIXTURE in parts:
            _check_mixture(parts[MIXTURE])
        if isinstance(pipeline, cls):
            made = cls(**{**pipeline.parts, MIXTURE: pipeline.mixture, **parts})
            if MIXTURE not in parts:
                made._source, made._held, made.record = pipeline._source, pipeline._held, pipeline.record
            made.mel = pipeline.mel
        elif MIXTURE in parts:
            whole = cls.of(pipeline, parts[MIXTURE])
            made = cls(**{**whole.parts, "scheduler": pipeline.scheduler, **parts})
        else:
            raise ConfigError(f"a {type(pipeline).__name__} has no mixture; name one: from_pipe(pipeline, mixture=…)")
        return made if dtype is None else made.to(dtype)

    @classmethod
    @spoken_in_python()
    def from_pretrained(  # type: ignore[override]
        cls,
        folder: str | Path,
        device: torch.device | str = "cpu",
        torch_dtype: torch.dtype | None = None,
        held: int = 1,
        dtype: torch.dtype | None = None,
        **more: Any,
    ) -> RoutedPipeline:
        """The pipeline that `save_pretrained` wrote, or that a hub id names: then it is fetched, safetensors only.

        An expert is read when first asked for; at most `held` stay. dtype, or torch_dtype: float32 if None. more: words
        of diffusers' that ask for what is done anyway, such as use_safetensors=True. Raises WeightsError, CheckpointError
        among them, if a file is missing, corrupt or of another kind of pipeline, ConfigError for a device that is not there.
        """
        _only_asked_anyway("from_pretrained", more, "it takes device, dtype and held")
        device, wanted = provenance.device(str(device)), _dtype(dtype, torch_dtype) or torch.float32
        if not Path(folder).exists() and HUB_ID.fullmatch(str(folder)):
            folder = find("RoutedPipeline", str(folder), (), FILES)
        folder = Path(folder)
        if not (folder / cls.config_name).is_file():
            raise WeightsError(
                f"there is no pipeline in {folder}; name a folder that RoutedPipeline.save_pretrained wrote"
            )
        index = json_document(folder / cls.config_name)
        kind = index.get("_class_name")
        if kind != cls.__name__:
            raise WeightsError(
                f"{folder} holds a {kind}, not a {cls.__name__}; load it with diffusers, or name another"
            )
        parts = _whole(folder, index)
        made = cls.around(parts, folder / MIXTURE, device, wanted, held)
        made.mel = Mel.read(folder / MEL) if (folder / MEL).is_file() else None
        made.record = load(folder / RECORD) if (folder / RECORD).is_file() else None
        return made

    def save_pretrained(self, folder: str | Path, **more: Any) -> None:  # type: ignore[override]
        """Write the parts as diffusers does, the mixture and a model card; `folder` appears whole or not at all.

        All weights are safetensors. The router names its prompt encoder and the digest of its weights. more: words of
        diffusers' that ask for what is done anyway, such as safe_serialization=True. Raises CheckpointError, ConfigError.
        """
        _only_asked_anyway("save_pretrained", more, "it writes safetensors, whole, and push_to_hub uploads them")
        self._save(Path(folder), Path(folder).name)

    def push_to_hub(  # type: ignore[override]
        self, repo_id: str, private: bool | None = None, token: str | None = None
    ) -> str:
        """Upload what `save_pretrained` writes; the repository's address. `from_pretrained(repo_id)` gets it back.

        See hub.push_to_hub; the model card is of `record`. Raises WeightsError if the hub refuses, ConfigError.
        """
        return hub.uploaded(lambda scratch: self._save(scratch, repo_id), repo_id, private, token)

    def _save(self, folder: Path, place: str) -> None:
        with written_aside(folder, marker=MARKER) as aside, quiet():
            for name, part in self.parts.items():
                part.save_pretrained(aside / name)
            if self.mel is not None:
                self.mel.save(aside / MEL)
            digests = {part.name: part_digest(part) for part in sorted(aside.iterdir())}
            self.mixture.save(aside / MIXTURE)  # which keeps its own
            facts = {k: v for k, v in json.loads(self.to_json_string()).items() if k != "_name_or_path"}
            facts[DIGESTS] = digests
            (aside / self.config_name).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            hub.describe(aside, PIPELINE, place, self.record)

    def to(self, *args: Any, **kwargs: Any) -> RoutedPipeline:
        """As in diffusers: every part, in place. Experts on disk are read anew when they are next asked for."""
        with quiet():
            super().to(*args, **kwargs)
            where = (self.device, self.dtype)
            if self._source is not None and where != self._placed:
                self.mixture = self.mixture.with_experts(saved_experts(self._source, *where, self._held))
            elif self._source is None:
                for expert in self.mixture.experts:
                    expert.to(*where)
            self._placed = where
        return self

    def __call__(  # noqa: PLR0913 (the parameters that users of diffusers know)
        self,
        prompt: str | Sequence[str],
        *,
        num_inference_steps: int = 25,
        guidance_scale: float = 7.5,
        negative_prompt: str | Sequence[str] | None = None,
        seed: int = 0,
        indices: Sequence[int] | None = None,
        latents: Tensor | None = None,
        batch_size: int = 16,
        height: int | None = None,
        width: int | None = None,
        output_type: OutputType = "pil",
        return_dict: bool = True,
        exact: bool | None = None,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> RoutedOutput | tuple[Any, Tensor]:
        """One image a prompt, or more, in the order of the prompts.

        num_inference_steps: of the dense network; a mixture that plans fewer calls makes its share of them.
        seed, indices: choose each image's noise (indices: 0, 1, 2, … unless given), a prompt's first image having that
        of a prompt with one. generator: draws the noise instead, as diffusers' pipelines have it drawn: one for all
        images, or one for each. latents: the noise itself, [n, C, h, w]. batch_size: most images sampled together.
        height, width: pixels; the U-Net's own if None. output_type: "pil"; "pt", float [n, 3, H, W] in [0, 1]; "np",
        float [n, H, W, 3]; "latent", [n, C, h, w]. exact: bit for bit the same in every batch, see
        batch_invariant.RowByRow, which the smallest networks feel; None: on a CPU only. callback_on_step_end: as in
        diffusers, for every step of every batch, with the pipeline of the batch; `_interrupt` set there stops all of
        them. Raises ConfigError, and DataError for images that are not finite.
        """
        if output_type not in (known := OutputType.__args__):  # type: ignore[attr-defined]
            raise ConfigError(f"unknown output type '{output_type}'; take one of {', '.join(known)}")
        if not isinstance(exact, bool | None):
            raise ConfigError(f"exact is {exact!r}; give True, False or None")
        exact = self._execution_device.type == "cpu" if exact is None else exact
        sampling = requests.sampling(num_inference_steps, guidance_scale, batch_size, exact)
        prompts = requests.texts(prompt)
        negatives = requests.texts("" if negative_prompt is None else negative_prompt, len(prompts))
        asked, keep_away = (requests.repeated(texts, num_images_per_prompt) for texts in (prompts, negatives))
        more = watched(self, callback_on_step_end, callback_on_step_end_tensor_inputs)
        routes = self.mixture.route(prompts).repeat_interleave(num_images_per_prompt)
        first = self.layout(routes, 1)[0][0]  # the expert that serves first, so that none is read for its size alone
        start = requests.Start(seed, indices, latents, generator, num_images_per_prompt)
        noise = start.noise(len(prompts), self.latent_shape(first, height, width), self._execution_device, self.dtype)
        found: list[Any] = [None] * len(asked)
        # what is moved in inference mode stays its own, and could not be trained afterwards
        with torch.no_grad() if offloaded(self) else torch.inference_mode():
            draws = start.draws(len(prompts), len(self.layout(routes, sampling.batch)))
            request = Request(asked, keep_away, noise, sampling, draws, more)
            for batch in self.serve(request, routes, latent=output_type == "latent"):
                for position, image in zip(batch.at, batch.images, strict=True):
                    found[position] = image
            images = _as(output_type, torch.stack(found))
        self.maybe_free_model_hooks()
        return RoutedOutput(images=images, experts=routes) if return_dict else (images, routes)

    def serve(self, request: Request, routes: Tensor, latent: bool = False) -> Iterator[ServedBatch]:
        """Batches as they are done, expert by expert, beginning with those in memory. routes: expert of each prompt, [n].

        Images are floats [*, 3, H, W] in [0, 1], or latents. Call without gradients. Raises ConfigError.
        """
        self.check_steps(request.sampling)
        sampler = OwnDraws(self.parts, request.sampling, plan=self.mixture.plan)
        with self.progress_bar(total=len(request.prompts)) as bar:
            for expert, at in self.layout(routes, request.sampling.batch):
                yield ServedBatch(expert, at, self._sampled(sampler, request, expert, at, latent))
                bar.update(len(at))

    def check_steps(self, sampling: SamplingConfig) -> None:
        """Raise ConfigError for more steps than the scheduler's diffusion has: they would do nothing."""
        most = self.scheduler.config.get("num_train_timesteps", sampling.steps)
        if sampling.steps > most:
            raise ConfigError(
                f"{sampling.steps} steps are more than the {most} of this pipeline's diffusion; take fewer"
            )

    def _sampled(self, sampler: OwnDraws, request: Request, expert: int, at: list[int], latent: bool) -> Tensor:
        prompts, negatives = [request.prompts[i] for i in at], [request.negatives[i] for i in at]
        with self._at_work(expert) as unet:  # a name of here alone: an expert that is let go of must not be held
            own = replace(sampler, draws=request.draws_of(at))
            return own(unet, prompts, request.noise[at], negatives, latent, **request.more)

    @property
    def parts(self) -> dict[str, Any]:
        """All but the mixture, by name."""
        return {name: part for name in PARTS if (part := getattr(self, name)) is not None}

    @property
    def reads_prompts(self) -> bool:
        """Whether prompts say what is drawn."""
        return self.text_encoder is not None

    def layout(self, routes: Tensor, batch_size: int) -> list[tuple[int, list[int]]]:
        """(expert, positions of its prompts) for every batch; experts that are in memory come first."""
        experts = self.mixture.experts
        held = experts.held if isinstance(experts, OnDemand) else ()
        return sorted(batches(routes, batch_size), key=lambda batch: batch[0] not in held)

    def latent_shape(self, expert: int, height: int | None = None, width: int | None = None) -> tuple[int, ...]:
        """[C, h, w] of an image's latents; height, width: pixels, the U-Net's own if None. Raises ConfigError."""
        own, factor = self.mixture.experts[expert].config, 2 ** (len(self.vae.config.block_out_channels) - 1)
        sizes = [own.sample_size] * 2 if isinstance(own.sample_size, int) else own.sample_size
        named = (("height", height, sizes[0]), ("width", width, sizes[1]))
        edges = [size * factor if edge is None else requests.whole(name, edge) for name, edge, size in named]
        step = max(MULTIPLE, factor)
        if min(edges) < step or any(edge % step for edge in edges):
            raise ConfigError(f"{edges[0]}x{edges[1]} pixels cannot be made; take multiples of {step}")
        return (own.in_channels, *(edge // factor for edge in edges))

    @property
    def interrupt(self) -> bool:
        """Whether a callback stopped the images that are being made."""
        return self._interrupt

    @contextmanager
    def _at_work(self, index: int) -> Iterator[UNet2DConditionModel]:
        """An expert, ready to sample with. Raises ConfigError if it and the other parts do not go together."""
        unet = self.mixture.experts[index]
        if (unet.device, unet.dtype) != (self.device, self.dtype) and not offloaded(self):
            there, here = f"{unet.dtype} on {unet.device}", f"{self.dtype} on {self.device}"
            raise ConfigError(f"expert {index} is {there}, the other parts {here}; call pipeline.to(device, dtype)")
        with on_device(self, unet):
            yield unet.eval()


def _whole(folder: Path, index: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a saved pipeline but its mixture. Raises WeightsError where one that its index names is missing or edited."""
    for name in PARTS:
        if any(index.get(name) or ()) and not (folder / name).is_dir():  # [null, null]: it has none
            raise WeightsError(f"{folder / name} is missing; {AGAIN}")
    _check_digests(folder, index.get(DIGESTS, {}))
    parts = saved_parts(folder)
    if "tokenizer" in parts:
        most, said = parts["text_encoder"].config.max_position_embeddings, parts["tokenizer"].model_max_length
        if said > most:  # where its config does not say, it is 1e30
            what = f"texts of {said:.4g} tokens for an encoder of {most}"
            raise WeightsError(f"{folder / 'tokenizer'} makes {what}; {AGAIN}")
    predicts = parts["scheduler"].config.prediction_type
    if predicts not in PREDICTED:
        what = f"{folder / 'scheduler'} takes networks that predict '{predicts}'; known are {', '.join(PREDICTED)}"
        raise WeightsError(f"{what}; {AGAIN}")
    return parts


def _check_mixture(mixture: Any) -> None:
    """Raises ConfigError for what is none."""
    if not isinstance(mixture, Mixture):
        fix = "set pipeline.unet to a U-Net, or wrap it: Mixture.of_one(unet)"
        raise ConfigError(f"a {type(mixture).__name__} is no Mixture; {fix}")


def _dtype(dtype: torch.dtype | None, torch_dtype: torch.dtype | None) -> torch.dtype | None:
    """The one that is given: diffusers calls it dtype, and torch_dtype in its older releases. Raises ConfigError."""
    for name, given in (("dtype", dtype), ("torch_dtype", torch_dtype)):
        check_dtype(name, given)
    if None not in (dtype, torch_dtype) and dtype != torch_dtype:
        raise ConfigError(f"dtype is {dtype} and torch_dtype {torch_dtype}; give one of them")
    return dtype if torch_dtype is None else torch_dtype


def _only_asked_anyway(call: str, given: Mapping[str, Any], does: str) -> None:
    """Raises ConfigError for a word of diffusers', or of nobody's, that would change what is done."""
    for name, value in given.items():
        if value is not None and not any(value is known for known in ASKED_ANYWAY.get(name, ())):
            raise ConfigError(f"RoutedPipeline.{call} cannot do {name}={value!r}; {does}: leave {name} out")


def _check_digests(folder: Path, digests: Any) -> None:
    """Raise CheckpointError for a part that is not as it was saved: another scheduler draws other images without a word."""
    if not isinstance(digests, dict):
        raise CheckpointError(f"{folder / RoutedPipeline.config_name} is corrupt ({DIGESTS} is no object); {AGAIN}")
    for name, digest in digests.items():
        if part_digest(folder / name) != digest:
            raise CheckpointError(
                f"{folder / name} is not what was saved there: edited, or moved from elsewhere; {AGAIN}"
            )


def _as(kind: OutputType, images: Tensor) -> Any:
    """Stacked images, float [n, 3, H, W] in [0, 1], or latents, in the type asked for."""
    if kind == "pil":
        return [Image.fromarray(np.asarray(image)) for image in quantised(images)]
    images = finite(images)
    if kind == "np":
        return images.permute(0, 2, 3, 1).float().cpu().numpy()
    return images
