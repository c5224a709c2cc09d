"""The stages of one run as they are carried out, each with its time at best, its memory and its disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from aptp_bench import config, registry
from aptp_bench.contracts.method import Forecast, Phase, Sketch
from aptp_bench.core.costs import FLOAT, StepCost
from aptp_bench.core.documents import execution
from aptp_bench.core.recipe import Recipe
from aptp_bench.core.settings import FinetuneConfig
from aptp_bench.core.store import digest_of
from aptp_bench.harness import plans
from aptp_bench.planning.facts import Facts
from aptp_bench.planning.loops import Load, Loop, activations, batched, narrowed
from aptp_bench.planning.machine import Machine
from aptp_bench.planning.measuring import measuring

STORED = 2  # bytes of a number of a latent or a text embedding on disk
MEASURE = "measure-"
PNG = 0.45  # of its bytes as pixels is what an image's file takes: 24 GB were 31,632 images of 768 pixels
REDRAWN = 128  # images at most that the reference draws again from other noise


@dataclass(frozen=True)
class Run:
    """A recipe on a machine, with what is known of its model. prefix: of the method's settings where others have rows too."""

    recipe: Recipe
    facts: Facts
    machine: Machine
    prefix: str = ""

    def loads(self) -> Iterator[tuple[str, str, Load]]:
        """(stage, identity, load) in the order of the stages. What has one identity is made once, whoever asks for it."""
        makers = {"pairs": self.pairs, "prune": self.prune, "finetune": self.finetune}
        for name in plans.stages(self.recipe, anywhere=True):
            on = next((on for on in plans.GENERATED if name in (plans.GENERATED[on], plans.COMPARED[on])), None)
            if name.startswith(MEASURE):
                yield name, self.identity(name), measuring(self, name.removeprefix(MEASURE))
            elif on is None:
                yield name, self.identity(name), makers[name]() if name in makers else Load()
            elif name == plans.COMPARED[on]:
                yield self._compared(on)
            else:
                yield name, self.identity(name), self.generate(on)

    @cached_property
    def method(self) -> Any:
        """The method with its options."""
        return registry.get("methods", self.recipe.method)(**self.recipe.method_config)

    @cached_property
    def forecast(self) -> Forecast | None:
        """What the method says of itself."""
        kind = self.facts.kind
        forecast: Forecast | None = self.method.forecast(
            Sketch(lambda: kind().skeleton(), self.facts.noted, kind.reads_prompts(), kind.tokens, self.recipe.budget)
        )
        return forecast

    @cached_property
    def tuning(self) -> FinetuneConfig:
        """How experts are tuned."""
        return FinetuneConfig(**self.recipe.finetune)

    @property
    def experts(self) -> int:
        """How many there are; one where the method does not say."""
        return self.forecast.experts if self.forecast else 1

    @property
    def expert_bytes(self) -> int:
        """Of one expert: it keeps about the MACs' share of the parameters, unless the method knows better."""
        known = self.forecast.size if self.forecast else None
        return round(FLOAT * self.facts.parameters("unet") * (self.recipe.budget.ratio if known is None else known))

    @cached_property
    def networks(self) -> int:
        """Bytes of the dense pipeline, which lies on the device in every stage."""
        parts = ["unet", *["vae"] * self.facts.whole, *["text_encoder"] * self._reads]
        return FLOAT * sum(self.facts.parameters(part) for part in parts)

    def pairs(self) -> Load:
        """Latents of images, each once however many captions it has, and embeddings of prompts where they are stored."""
        r, at_once = self.recipe, self.recipe.encode_batch
        if not self.facts.whole:
            return Load()
        images = registry.get("datasets", r.dataset)(**r.dataset_config).images_of(r.sizes.train)
        encoding = self.facts.encoding(r.resolution.train)
        bound = self.machine.share(images) / at_once * self.machine.bound(encoding, at_once)
        numbers = images * self.facts.numbers_of("latent") * self._latents[0] ** 2
        if self._reads and self._stores_text:
            bound += self.machine.share(r.sizes.train) / at_once * self.machine.bound(self.facts.reading(), at_once)
            numbers += r.sizes.train * self.facts.numbers_of("text")
        held = batched(self.machine, activations(encoding), at_once, self.networks, "encode_batch")
        return replace(held, bound_s=bound, disk=STORED * numbers, kind="pairs")

    def prune(self) -> Load:
        """The phases that the method has, one after another, and its experts."""
        disk = self.experts * self.expert_bytes
        if self.forecast is None:
            return Load(disk=disk, kind="experts")
        loads = [self._phase(phase) for phase in self.forecast.phases]
        seconds, memory = (
            sum(load.bound_s or 0.0 for load in loads),
            max((load.memory or 0 for load in loads), default=0),
        )
        fix = "; ".join(load.fix for load in loads if load.fix)
        return Load(seconds, max(memory, self.networks), disk, "experts", fix)

    def finetune(self) -> Load:
        """A pass of the teacher, and of an expert forward and back, which takes the budget's share of a dense one."""
        c, size = self.tuning, self._latents[0]
        left = self.expert_bytes / (FLOAT * self.facts.parameters("unet")), self.recipe.budget.ratio
        cost = narrowed(self.facts.learning("weights", True, size, c.gradient_checkpointing), *left)
        sparing = self._sparing(c.gradient_checkpointing, "weights", True, size)
        steps = c.steps * (self.experts if c.share == "each" else 1)
        loop = Loop(
            self.machine, cost, self.machine.share_of_batch(c.batch), steps, self.networks, c.accumulate, c.precision, "finetune.",
            sparing and (lambda: narrowed(sparing(), *left)), self.expert_bytes, c.shard,
        )  # fmt: skip
        taught = loop.bound_s(self.facts.forward(size))
        learnt = (loop.bound_s(cost) - taught) * self.recipe.budget.ratio
        disk = self.experts * self.expert_bytes
        return Load(taught + learnt + self._read(loop), loop.memory, disk, "experts", loop.fix)

    def generate(self, on: str) -> Load:
        """A call of an expert for every step of the sampler, both halves of guidance at once, and the decoder."""
        r, size = self.recipe, self._latents[1]
        images = r.sizes.val if on == "dataset" else r.sizes.partiprompts
        s, guided, network = r.sampling, self._guided, self.facts.forward(size)
        bound = self.image(s.batch)(r.budget.ratio)
        each = guided * activations(network, s.dtype)
        if self.facts.whole:
            each = max(each, activations(self.facts.decoding(size), s.dtype))
        held = batched(self.machine, each, s.batch, self.networks + self.expert_bytes, "sampling.batch")
        if held.fix and s.dtype != "bfloat16":
            half = guided * activations(network, "bfloat16")
            half = max(half, activations(self.facts.decoding(size), "bfloat16")) if self.facts.whole else half
            least = batched(self.machine, half, 1, self.networks + self.expert_bytes, "sampling.batch")
            if each > (self.machine.room or 0) - self.networks - self.expert_bytes and not least.fix:
                held = replace(
                    held, fix="--set sampling.batch=1 --set sampling.dtype=bfloat16 would fit, and changes numbers"
                )
        disk = round(PNG * 3 * self.facts.kind.resolution**2) * images
        return replace(held, bound_s=bound * self.machine.share(images) / s.batch, disk=disk, kind="images")

    def call(self, batch: int) -> float:
        """Seconds at best of a dense call for a batch of images, both halves of guidance at once."""
        s = self.recipe.sampling
        return self.machine.bound(self.facts.forward(self._latents[1]), self._guided * batch, s.dtype)

    def image(self, batch: int) -> Callable[[float], float]:
        """Seconds at best of a batch of images by a network of which so much is left."""
        s, size = self.recipe.sampling, self._latents[1]
        calls = (s.steps + (s.scheduler == "pndm")) * self.call(batch)
        decoding = self.machine.bound(self.facts.decoding(size), batch, s.dtype) if self.facts.whole else 0.0
        return lambda left: calls * left + decoding

    def seen(self, need: str, on: str) -> tuple[str, int]:
        """What metrics look at: the identity of a set of images, and how many there are of it."""
        r = self.recipe
        size = r.sizes.val if on == "dataset" else r.sizes.partiprompts
        if need == "images":
            return self.identity(plans.GENERATED[on]), size
        if need == "reference":
            return self._compared(on)[1], size if config.reference_of(r) is not None else min(size, REDRAWN)
        learnt = not self.facts.kind.reads_prompts()  # the papers of unconditional models measure against those
        real = r.sizes.train if learnt else size
        return digest_of([r.dataset, r.dataset_config, learnt, real]), real

    def identity(self, stage: str) -> str:
        """A digest of what of the recipe decides a stage, up to there."""
        r = self.recipe
        asked: list[Any] = [stage, r.model, r.weights, r.dataset, r.dataset_config, r.sizes.train, r.resolution.train]
        if stage != "pairs":
            asked += [r.method, _decisive(r.method_config, self.method.Config), r.budget.model_dump(), r.seed]
        if stage not in ("pairs", "prune"):
            asked += [_decisive(r.finetune, FinetuneConfig)] if self.method.tunes else []
        if stage not in ("pairs", "prune", "finetune"):
            asked += [r.sampling.model_dump(exclude={"batch"}), r.sizes.model_dump(), r.prompts]
        return digest_of(asked)

    @property
    def _reads(self) -> bool:
        """Whether there is a text encoder."""
        return self.facts.whole and bool(self.facts.kind.reads_prompts())

    @property
    def _guided(self) -> int:
        """Samples of a call for an image."""
        return 2 if self.recipe.sampling.guidance > 1 else 1

    @property
    def _stores_text(self) -> bool:
        return self.recipe.store_text

    @property
    def _latents(self) -> tuple[int, int]:
        """Height of the latents of a training image, and of an image that is made."""
        kind = self.facts.kind
        return kind.latent_size * self.recipe.resolution.train // kind.resolution, kind.latent_size

    def _compared(self, on: str) -> tuple[str, str, Load]:
        """The reference's images; of the reference itself, those that it draws again."""
        name, other = plans.COMPARED[on], config.reference_of(self.recipe)
        if other is not None:
            theirs = Run(other, self.facts, self.machine)
            return name, theirs.identity(plans.GENERATED[on]), theirs.generate(on)
        sizes = self.recipe.sizes
        fewer = sizes.model_copy(update={k: min(getattr(sizes, k), REDRAWN) for k in ("val", "partiprompts")})
        again = replace(self, recipe=self.recipe.model_copy(update={"sizes": fewer}))
        return name, self.identity(name), again.generate(on)

    def _phase(self, phase: Phase) -> Load:
        size = self._latents[phase.full_size]
        if phase.learns == "nothing":
            cost, sparing = self.facts.forward(size), None
        else:
            cost = self.facts.learning(phase.learns, phase.teacher, size, phase.gradient_checkpointing)
            sparing = self._sparing(phase.gradient_checkpointing, phase.learns, phase.teacher, size)
        shared = self.machine.share if phase.learns == "nothing" else self.machine.share_of_batch
        rows = shared(phase.batch) if phase.shared == "samples" else phase.batch
        steps = phase.steps / (self.machine.processes if phase.shared == "steps" else 1)
        how = (phase.accumulate, phase.precision, self.prefix, sparing)
        loop = Loop(self.machine, cost, rows, steps, self.networks, *how, split=phase.split)
        read = self._read(loop) if phase.learns != "nothing" else 0.0
        return Load(loop.bound_s(cost) + read, loop.memory, fix=loop.fix)

    def _read(self, loop: Loop) -> float:
        """Seconds of encoding every step's prompts, where embeddings are not stored."""
        return 0.0 if self._stores_text or not self._reads else loop.bound_s(self.facts.reading())

    def _sparing(self, checkpointing: bool, learns: Any, teacher: bool, size: int) -> Callable[[], StepCost] | None:
        """Counts the same step with gradient checkpointing, unless it has that already."""
        return None if checkpointing else partial(self.facts.learning, learns, teacher, size, True)


def _decisive(options: dict[str, Any], kind: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in execution(kind)}
