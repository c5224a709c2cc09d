"""How an image's U-Net calls are made: fewer than the sampler would make, or some that reuse features.

Most mixtures are sampled as the sampler has it. A plan is made for a sampler of so many calls; for another one its
shares are kept.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import NonNegativeInt, PositiveInt, model_validator

from aptp_bench.budget import Convention
from aptp_bench.core.documents import Frozen
from aptp_bench.models import feature_cache
from aptp_bench.pruning.macs import ExampleInputs, count

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel


class CallPlan(Frozen):
    """Where a sampler makes `of` calls for an image, `made` are made, and `full` of these compute the whole network.

    The other calls reuse features at `branch`, see feature_cache; full ones are spread evenly, the first call is one.
    """

    of: PositiveInt = 1
    made: PositiveInt = 1
    full: PositiveInt = 1
    branch: NonNegativeInt | None = None

    @model_validator(mode="after")
    def _can_be_followed(self) -> CallPlan:
        if not self.full <= self.made <= self.of:
            raise ValueError(f"{self.full} full calls of {self.made} of {self.of}; no number may exceed the next")
        if self.branch is None and self.full < self.made:
            raise ValueError(f"{self.made - self.full} calls reuse features and no branch says which; give one")
        return self

    def steps(self, scheduler: Any, steps: int) -> int:
        """The most of `steps` sampler steps, one at least, whose calls are no more than the plan's share of theirs."""
        most = calls_of(scheduler, steps) * self.made // self.of
        return next((fewer for fewer in range(steps, 1, -1) if calls_of(scheduler, fewer) <= most), 1)

    @property
    def kinds(self) -> ImageCalls:
        """A call of each kind that the plan has, the full one first."""
        turns = (True,) if self.full == self.made else (True, False)
        return ImageCalls(turns, len(turns), self.branch)


PLAIN = CallPlan()


@dataclass(frozen=True)
class ImageCalls:
    """An image's U-Net calls. turns: of each whether it computes the whole network; asked: calls of the sampler itself."""

    turns: tuple[bool, ...]
    asked: int
    branch: int | None = None

    @classmethod
    def of(cls, plan: CallPlan, asked: int, made: int) -> ImageCalls:
        """The first of `made` calls is full, and so is each in which another of the plan's full ones falls due."""
        due = [call * plan.full // plan.made for call in range(made)]
        turns = tuple(call == 0 or due[call] > due[call - 1] for call in range(made))
        return cls(turns, asked, plan.branch)

    @classmethod
    def under(cls, plan: CallPlan, scheduler: Any, steps: int) -> ImageCalls:
        """Those of a diffusers scheduler that is asked for so many steps; it is left as it is."""

        def anew() -> Any:
            return type(scheduler).from_config(scheduler.config)

        return cls.of(plan, calls_of(anew(), steps), calls_of(anew(), plan.steps(anew(), steps)))

    @property
    def made(self) -> int:
        """How many there are."""
        return len(self.turns)

    @property
    def full(self) -> int:
        """How many of them compute the whole network."""
        return sum(self.turns)

    @property
    def facts(self) -> dict[str, int]:
        """For records: calls of the sampler itself ("dense"), calls of an image ("made"), those that are "full"."""
        return {"dense": self.asked, "made": self.made, "full": self.full}

    def macs(self, unet: UNet2DConditionModel, inputs: ExampleInputs, convention: Convention) -> int:
        """MACs of an image's calls, on one sample, a call of the sampler itself: an ordinary call's where nothing is saved.

        inputs: see macs.example_inputs. Raises CountError, PruningError.
        """
        counted = count(unet, inputs, convention)
        reusing = self.made - self.full
        saved = 0
        if reusing:
            saved = sum(counted.under(path) for path in feature_cache.left_out(unet, self.branch or 0))
        return round((self.made * counted.total - reusing * saved) / self.asked)

    def followed(self, unet: UNet2DConditionModel) -> AbstractContextManager[None]:
        """While entered, `unet` is called for one batch of images: its calls are these turns."""
        return nullcontext() if self.branch is None else feature_cache.following(unet, self.branch, self.turns)


ONE_CALL = PLAIN.kinds


def calls_of(scheduler: Any, steps: int) -> int:
    """U-Net calls that a diffusers scheduler makes in so many steps, which it is set to."""
    scheduler.set_timesteps(steps)
    return len(scheduler.timesteps)
