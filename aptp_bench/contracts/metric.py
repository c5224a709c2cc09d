"""A metric: it measures evidence."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import ValidationError

from aptp_bench.contracts.base import Plugin
from aptp_bench.contracts.evidence import Evidence
from aptp_bench.core.documents import problem_of
from aptp_bench.errors import MetricError
from aptp_bench.records import Better, Measurement

MEND = "mend the metric, or let it raise MetricError with the reason"


class Metric(Plugin, ABC):
    """Measures evidence: one number, with its unit and direction.

    unit: "" for none; better: higher, lower or neither; needs: any of images, reals, captions, mixture, reference (without
    one of them it is not called, and the record says why); on: the prompts that it is measured on.
    """

    unit: ClassVar[str]
    better: ClassVar[Better]
    needs: ClassVar[frozenset[str]]
    on: ClassVar[Literal["dataset", "partiprompts"]] = "dataset"
    backbone: ClassVar[str | None] = (
        None  # a role: inception | clip_score | cmmd | preference | hps | perceptual | dino | audio; the scale says whose
    )
    paper: ClassVar[str] = ""
    title: ClassVar[str] = ""  # what people call it; empty: its name in words
    tie: ClassVar[float] = 0.0  # relative gap below which two values say nothing, whatever their intervals
    counted: ClassVar[bool] = False  # True: counted, not estimated: the value has no interval because it is exact

    timed: ClassVar[bool] = False  # True: it times calls and images, as the recipe's `latency` says

    @classmethod
    def is_quality(cls) -> bool:
        """Whether it judges images rather than what they cost."""
        return cls.backbone is not None or "images" in cls.needs

    @abstractmethod
    def __call__(self, evidence: Evidence) -> Measurement:
        """The measurement. Raises MetricError if the evidence does not allow it."""

    def measured(
        self,
        value: float,
        n: int,
        interval: tuple[float, float] | None = None,
        replicates: Sequence[float] | None = None,
        **detail: Any,
    ) -> Measurement:
        """A measurement in this metric's unit and direction.

        n: images, prompts or timed runs behind `value`; interval: (low, high), 95 %.
        replicates: n numbers, one a prompt in their order, with the mean `value`: the scores where the value is a mean, else
        value + influence of each image (the infinitesimal jackknife). With them two runs are compared prompt by prompt.
        detail: what else must be known; what must not be missed is called `caution`, a sentence that is shown beside the number.
        An interval of no length is left out: images that are all alike do not make a number certain. Raises MetricError
        for a number that is not finite, and for whatever else no measurement may hold.
        """
        given = None if replicates is None else tuple(replicates)
        kept = None if interval is None or math.isclose(*interval, rel_tol=1e-9) else interval
        facts = {"unit": self.unit, "better": self.better, "n": n, "interval": kept, "detail": detail}
        try:
            return Measurement(value=value, replicates=given, **facts)
        except ValidationError as err:
            key, what, got, _ = problem_of(err)
            said = f"{key}: {what} (got {got!r})" if key else what
            raise MetricError(f"{self.name} gives no measurement: {said}; {MEND}") from err
