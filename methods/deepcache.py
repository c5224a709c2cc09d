"""DeepCache: most calls of the dense U-Net compute its outer layers alone and reuse the deep features of an earlier call.

Paper: Ma et al., "DeepCache: Accelerating Diffusion Models for Free", CVPR 2024, arXiv:2312.00858, Section 3.2.
Ours differs: the budget decides how many calls are full, and these are spread evenly, so that intervals need not be whole;
the paper takes every N-th call, or full calls that lie closer around a chosen one. Classifier-free guidance makes one call
for both its halves, which are cached alike.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import Field

from aptp_bench.budget import TOLERANCE
from aptp_bench.errors import BudgetError
from aptp_bench.plugins import Forecast, Job, Method, PluginConfig, Sketch

if TYPE_CHECKING:
    from aptp_bench.models.call_plan import CallPlan
    from aptp_bench.models.mixture import Mixture

ROUNDING = 1e-9  # of a number of calls


class DeepCacheConfig(PluginConfig):
    """Where features are reused."""

    branch: int | None = Field(
        None,
        ge=0,
        description="the skip connection at which calls reuse, 0 being the outermost, where a call computes least; None: "
        "the outermost with which the budget is met within 0.5 %, else the one that comes nearest from below",
    )


class DeepCache(Method):
    """The dense network whose deep features are reused from call to call, with as many full calls as the budget pays for."""

    name = "deepcache"
    title = "DeepCache"
    paper = "Ma et al., DeepCache: Accelerating Diffusion Models for Free, CVPR 2024, arXiv:2312.00858"
    Config = DeepCacheConfig
    config: DeepCacheConfig
    tunes = False
    uses_data = False
    uses_sampling = True

    def forecast(self, sketch: Sketch) -> Forecast:
        """It runs no network: calls are counted, and the network stays whole."""
        return Forecast(size=1.0)

    def prune(self, job: Job) -> Mixture:
        """The teacher's U-Net and which of its calls are full. Raises BudgetError if the first alone costs too much.

        Raises PruningError for a branch that the U-Net does not have.
        """
        from aptp_bench.generation.sampling import Sampler
        from aptp_bench.models.feature_cache import branches
        from aptp_bench.models.mixture import Mixture

        unet: Any = job.teacher.unet
        asked = Sampler.of(job.teacher, job.sampling).calls.asked
        at = range(branches(unet)) if self.config.branch is None else [self.config.branch]
        shares = {branch: _reusing(job, branch) for branch in at}
        plans = [plan for branch, share in shares.items() if (plan := _paid(branch, share, asked, job.budget.ratio))]
        if not plans:
            least = math.ceil(1000 * (1 + (asked - 1) * min(shares.values())) / asked) / 1000
            raise BudgetError(f"one full call and {asked - 1} that reuse cost more; use --budget {least:g} or more")
        missed = {plan: job.budget.missed_by(_mean(plan, shares)) for plan in plans}
        near = [plan for plan in plans if missed[plan] >= -TOLERANCE]
        plan = near[0] if near else max(plans, key=missed.__getitem__)
        remark = f"{plan.full} of {asked} calls are full, the others reuse at skip {plan.branch}"
        remark += f": {-missed[plan]:.2%} of the dense MACs below the budget" if missed[plan] < 0 else ""
        return Mixture.of_one(unet, remark, plan)


def _reusing(job: Job, branch: int) -> float:
    """What a call that reuses at `branch` costs, as a share of a full one."""
    from aptp_bench.models.feature_cache import left_out
    from aptp_bench.pruning.macs import count, example_inputs

    unet: Any = job.teacher.unet
    counted = count(unet, example_inputs(unet, tokens=job.tokens), job.budget.convention)
    return 1 - sum(counted.under(path) for path in left_out(unet, branch)) / counted.total


def _paid(branch: int, share: float, asked: int, budget: float) -> CallPlan | None:
    """As many full calls as the budget, a share of the dense MACs, pays for; None if it does not pay for one."""
    from aptp_bench.models.call_plan import CallPlan

    full = min(asked, math.floor(asked * (budget - share) / (1 - share) + ROUNDING))
    return CallPlan(of=asked, made=asked, full=full, branch=branch) if full > 0 else None


def _mean(plan: CallPlan, shares: dict[int, float]) -> float:
    """The mean cost of its calls, as a share of a full one."""
    return (plan.full + (plan.made - plan.full) * shares[plan.branch or 0]) / plan.made
