from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from aptp_bench.errors import BudgetError, ConfigError
from aptp_bench.methods.norm import Norm
from aptp_bench.plugins import Job
from aptp_bench.profiling.alignment import changed_widths
from aptp_bench.pruning.coupled import cut, groups, scores, weakest

MakeJob = Callable[..., Job]


def by_hand(teacher: Any, lost: dict[str, list[int]], order: float, first: bool) -> dict[str, Any]:
    """The state of the teacher without the smallest units, as many as `lost` says."""
    found = groups(teacher)
    worth = scores(teacher, found, lambda name, weight: weight.abs() ** order, first)
    keep = [weakest(score, lost[group.path][0]) for group, score in zip(found, worth, strict=True)]
    return cut(teacher, found, keep).state_dict()


@pytest.mark.parametrize("convention", ["aptp", "modules"])
def test_it_lands_on_the_budget_with_one_expert(job: MakeJob, left: Any, convention: str) -> None:
    given = job(0.8, convention)
    mixture = Norm().prune(given)
    assert len(mixture) == 1 and mixture.remark == ""
    assert left(mixture.experts[0], given) == pytest.approx(0.8, abs=0.005)


@pytest.mark.parametrize(("order", "layers"), [(1.0, "first"), (2.0, "all")])
def test_the_smallest_go_by_the_norm_that_was_asked_for(job: MakeJob, tiny: Any, order: float, layers: str) -> None:
    given = job()
    student = Norm(order=order, layers=layers).prune(given).experts[0]
    lost = json.loads((given.workdir / "widths.json").read_text())["removed_of"]
    assert sum(n for n, _ in lost.values()) > 0
    expected = by_hand(tiny.unet, lost, order, first=layers == "first")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in student.state_dict().items())


def test_the_authors_baseline_leaves_heads_and_feed_forwards(job: MakeJob, left: Any) -> None:
    authors = {"heads": "width", "feed_forwards": False, "ranking": "global", "order": 2, "layers": "all"}
    student = Norm(**authors).prune(job(0.8)).experts[0]
    block = student.get_submodule("down_blocks.0.attentions.0.transformer_blocks.0")
    assert block.attn1.heads == 2 and block.ff.net[2].in_features == 32
    assert left(student, job(0.8)) == pytest.approx(0.8, abs=0.005)


def test_a_global_ranking_spares_the_layers_with_large_weights(job: MakeJob, tiny: Any) -> None:
    pipe = copy.copy(tiny)
    pipe.unet = copy.deepcopy(tiny.unet)
    with torch.no_grad():  # all channels alike there, so that none is far below its group's mean
        pipe.unet.mid_block.attentions[0].transformer_blocks[0].ff.net[2].weight.fill_(1.0)
        pipe.unet.mid_block.attentions[0].transformer_blocks[0].ff.net[0].proj.weight.fill_(1.0)
    left = {
        ranking: Norm(ranking=ranking, layers="all").prune(job(0.9, teacher=pipe)).experts[0].mid_block
        for ranking in ("local", "global")
    }
    widths = {name: block.attentions[0].transformer_blocks[0].ff.net[2].in_features for name, block in left.items()}
    assert widths["local"] < 63 and widths["global"] == 64


def test_a_budget_out_of_reach_is_refused(job: MakeJob) -> None:
    with pytest.raises(BudgetError, match="leanest"):
        Norm().prune(job(0.01))


@pytest.mark.parametrize("settings", [{"ranking": "global"}, {"heads": "width", "rounding": "nearest"}])
def test_aligned_widths_meet_the_same_budget(job: MakeJob, left: Any, small_sd: Any, settings: dict[str, Any]) -> None:
    given = job(0.78, teacher=small_sd)
    aligned = Norm(align=16, **settings).prune(given).experts[0]
    found = list(changed_widths(aligned, small_sd.unet))
    assert found and all(width % 16 == 0 for width in found)
    assert left(aligned, given) == pytest.approx(0.78, abs=0.005)


def test_only_the_hardwares_multiples_may_be_asked_for() -> None:
    with pytest.raises(ConfigError, match="align"):
        Norm(align=12)


@pytest.mark.parametrize("order", [0.1, 8.0])
def test_every_order_that_it_takes_tells_small_weights_apart(order: float) -> None:
    """In float32, in which they are compared; of another order none is taken."""
    small = torch.tensor([1e-4, 1.1e-4]) ** Norm(order=order).config.order
    assert 0 < small[0] < small[1]
    with pytest.raises(ConfigError):
        Norm(order=order * (10 if order > 1 else 0.01))
