"""Fewer steps: the dense network, sampled in as many steps as the budget pays for. It is what pruning has to beat."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aptp_bench.budget import TOLERANCE
from aptp_bench.errors import BudgetError
from aptp_bench.plugins import Forecast, Job, Method, Sketch

if TYPE_CHECKING:
    from aptp_bench.models.mixture import Mixture

ROUNDING = 1e-9  # 0.29 * 100 calls are 29


class FewerSteps(Method):
    """The dense network with as many sampler steps as the budget pays for: what pruning has to beat."""

    name = "fewer_steps"
    title = "Fewer steps"
    tunes = False
    uses_data = False
    uses_sampling = True

    def forecast(self, sketch: Sketch) -> Forecast:
        """It runs no network: calls are counted, and the network stays whole."""
        return Forecast(size=1.0)

    def prune(self, job: Job) -> Mixture:
        """The teacher's U-Net, called less often for an image. Raises BudgetError if not even one call can be paid for."""
        from aptp_bench.generation.sampling import Sampler
        from aptp_bench.models.call_plan import CallPlan
        from aptp_bench.models.mixture import Mixture

        asked = Sampler.of(job.teacher, job.sampling).calls.asked
        most = math.floor(job.budget.ratio * asked + ROUNDING)
        if most < 1:
            least = math.ceil(1000 / asked) / 1000
            raise BudgetError(f"{job.budget.ratio:g} of {asked} calls is none; use --budget {least:g} or more")
        paid = Sampler.of(job.teacher, job.sampling, plan=CallPlan(of=asked, made=most, full=most))
        made = paid.calls.made
        missed = job.budget.missed_by(made / asked)
        remark = f"{paid.steps} of {job.sampling.steps} steps, {made} of {asked} calls"
        if missed < -TOLERANCE:
            remark += f": {-missed:.2%} of the dense MACs below the budget, which a step more would exceed"
        return Mixture.of_one(job.teacher.unet, remark, CallPlan(of=asked, made=made, full=made))
