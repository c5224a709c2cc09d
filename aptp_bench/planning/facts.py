"""What is known of a model without touching it: counts that follow from its geometry, shipped or made now.

Counting takes seconds an entry. For the models of the mini and paper worlds the package ships what plans of the papers'
tables ask; `python -m aptp_bench.planning` counts it anew. A shipped count is used for the geometry that it was made of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from importlib.resources import files
from typing import Any

from aptp_bench import registry
from aptp_bench.core.costs import Kind, Line, Operation, StepCost
from aptp_bench.core.documents import Frozen
from aptp_bench.core.store import digest_of

FOLDER = "facts"
Row = tuple[Kind, int, int, int, int]  # an operation's kind, MACs, numbers of weights and of activations; how often


class Pass(Frozen):
    """A StepCost as it is kept: operations that are alike on one line."""

    operations: tuple[Row, ...]
    trained: int
    cast: int = 0
    widest: int = 0
    first: tuple[Line, ...]
    later: tuple[Line, ...]

    @classmethod
    def of(cls, cost: StepCost) -> Pass:
        """Names of operations are dropped."""
        alike = Counter((op.kind, op.macs, op.weights, op.activations) for op in cost.operations)
        rows = tuple((*row, times) for row, times in alike.items())
        return cls(operations=rows, **cost.model_dump(exclude={"operations"}))

    def cost(self) -> StepCost:
        """What it was made of."""
        each = [Operation(kind, kind, *sizes) for kind, *sizes, times in self.operations for _ in range(times)]
        return StepCost(operations=tuple(each), **self.model_dump(exclude={"operations"}))


class Known(Frozen):
    """The counts of one geometry, by what was counted."""

    geometry: str = ""
    numbers: dict[str, int] = {}
    passes: dict[str, Pass] = {}


class Facts:
    """The counts of one model. Each is taken from the shipped ones, or made when it is first asked for."""

    def __init__(self, model: str, shipped: bool = True) -> None:
        self.kind = registry.get("models", model)
        self.geometry = geometry_of(self.kind)
        known = shipped_for(model) if shipped else Known()
        mine = known if known.geometry == self.geometry else Known()
        self.numbers, self._passes = dict(mine.numbers), dict(mine.passes)
        self._costs: dict[str, StepCost] = {}

    @property
    def known(self) -> Known:
        """All that was asked for until now, and what was shipped."""
        ordered = {
            name: dict(sorted(each.items())) for name, each in (("numbers", self.numbers), ("passes", self._passes))
        }
        return Known(geometry=self.geometry, **ordered)  # type: ignore[arg-type]

    @property
    def whole(self) -> bool:
        """Whether autoencoder and text encoder can be built too."""
        return hasattr(self.kind, "geometry")

    def learning(self, learns: Any, teacher: bool, size: int, checkpointing: bool) -> StepCost:
        """A training step, see counting.learning."""
        words = [learns, *["taught"] * teacher, *["checkpointing"] * checkpointing, str(size)]
        return self._pass(
            " ".join(words), lambda counting: counting.learning(self._model, learns, teacher, size, checkpointing)
        )

    def forward(self, size: int) -> StepCost:
        """A U-Net pass on latents of `size`."""
        return self._pass(f"forward {size}", lambda counting: counting.forward(self._model, size))

    def encoding(self, pixels: int) -> StepCost:
        """An image of so many pixels to latents."""
        return self._pass(f"encode {pixels}", lambda counting: counting.encoding(self._model, pixels))

    def decoding(self, size: int) -> StepCost:
        """Latents of `size` to an image."""
        return self._pass(f"decode {size}", lambda counting: counting.decoding(self._model, size))

    def reading(self) -> StepCost:
        """A prompt to its embeddings."""
        return self._pass("read", lambda counting: counting.reading(self._model))

    def parameters(self, part: str) -> int:
        """Of "unet", "vae" or "text_encoder"."""
        return self._number(f"parameters {part}", lambda counting: counting.parameters(self._model, part))

    def numbers_of(self, what: str) -> int:
        """Channels of "latent", or numbers of a prompt's embeddings: "text"."""
        return self._number(f"{what} numbers", lambda counting: getattr(counting, f"{what}_numbers")(self._model))

    def noted(self, name: str, count: Callable[[], int]) -> int:
        """A number of a method's own, see contracts.method.Sketch."""
        return self._number(name, lambda _: count())

    @property
    def _model(self) -> Any:
        return self.kind()

    def _number(self, key: str, count: Callable[[Any], int]) -> int:
        if key not in self.numbers:
            self.numbers[key] = count(_counting())
        return self.numbers[key]

    def _pass(self, key: str, count: Callable[[Any], StepCost]) -> StepCost:
        if key not in self._costs:
            if key not in self._passes:
                self._passes[key] = Pass.of(count(_counting()))
            self._costs[key] = self._passes[key].cost()
        return self._costs[key]


def geometry_of(kind: Any) -> str:
    """A digest of a model's sizes; empty where it does not say them."""
    geometry = getattr(kind, "geometry", None)
    if not is_dataclass(geometry) or isinstance(geometry, type):
        return ""
    return digest_of([asdict(geometry), kind.tokens])


def shipped_for(model: str) -> Known:
    """What the package knows of a model; nothing where it was never counted."""
    file = files("aptp_bench.planning").joinpath(f"{FOLDER}/{model}.json")
    return Known.model_validate_json(file.read_text(encoding="utf-8")) if file.is_file() else Known()


def _counting() -> Any:
    from aptp_bench.planning import counting  # torch and diffusers, which take longer to load than a plan to make

    return counting
