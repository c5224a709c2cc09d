from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from aptp_bench import config, registry
from aptp_bench.budget import Budget
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.settings import FinetuneConfig
from aptp_bench.errors import BudgetError, ConfigError
from aptp_bench.methods.ld_pruner import LDPruner
from aptp_bench.methods.ld_pruner.operators import Operator, operators
from aptp_bench.methods.ld_pruner.pruning import Cut, chosen, cuts
from aptp_bench.models.mixture import Mixture
from aptp_bench.plugins import Job
from aptp_bench.pruning.macs import count, example_inputs
from aptp_bench.pruning.substitutes import Substitute
from aptp_bench.pruning.surgery import clone

Jobs = Callable[..., Job]


@pytest.fixture
def settings() -> dict[str, Any]:
    """Options of a scoring that takes a second."""
    return {"prompts": 2, "generations": 2, "steps": 1, "guidance": 1.0, "batch": 4}


@pytest.fixture(scope="module")
def _done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[float, tuple[Job, Mixture]]]:
    return tmp_path_factory.mktemp("done"), {}


@pytest.fixture
def pruned(job: Jobs, settings: dict[str, Any], _done: Any) -> Callable[[float], tuple[Job, Mixture]]:
    """pruned(budget) -> a job and what came of it, once a module: leave it as it is."""
    root, done = _done

    def make(budget: float) -> tuple[Job, Mixture]:
        if budget not in done:
            given = job(budget, workdir=root / str(budget))
            done[budget] = given, LDPruner(**settings).prune(given)
        return done[budget]

    return make


def op(path: str) -> Operator:
    return Operator(path, "conv")


def paths(cut: Cut) -> list[str]:
    return [operator.path for operator in cut.operators]


BRANCHES = {"attn1": "norm1", "attn2": "norm2", "ff": "norm3"}


def stand_ins(unet: UNet2DConditionModel) -> set[str]:
    return {path for path, module in unet.named_modules() if isinstance(module, Substitute)}


def with_norms(modified: Sequence[str]) -> set[str]:
    """The paths, and the norms of closed branches of transformers."""
    parts = [path.rpartition(".") for path in modified]
    return {*modified, *(f"{block}.{BRANCHES[name]}" for block, _, name in parts if name in BRANCHES)}


def inputs(batch: int = 1, size: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(batch, 4, size, size, generator=generator)
    text = torch.randn(batch, 77, 16, generator=generator)
    return {"sample": x, "timestep": torch.arange(batch) * 100, "encoder_hidden_states": text}


def report(given: Job) -> dict[str, Any]:
    return json.loads((given.workdir / "report.json").read_text())


def test_cuts_go_up_the_ranking_one_by_one() -> None:
    steps = list(cuts([op("b"), op("a"), op("c")], {"a": 10, "b": 20, "c": 30}, 100))
    assert [paths(cut) for cut in steps] == [[], ["b"], ["b", "a"], ["b", "a", "c"]]
    assert [cut.ratio for cut in steps] == [1.0, 0.8, 0.7, 0.4]
    assert [cut.before for cut in steps] == [1.0, 1.0, 0.8, 0.7]


def test_what_is_inside_a_modified_operator_is_passed_over_and_does_not_count() -> None:
    steps = list(cuts([op("a"), op("a.x"), op("ab"), op("a.y.z")], {"a": 40, "a.x": 10, "ab": 5, "a.y.z": 10}, 100))
    assert [paths(cut) for cut in steps] == [[], ["a"], ["a", "ab"]]


def test_a_norm_goes_with_the_branch_that_reads_it() -> None:
    norm, branch = Operator("t.norm1", "layer_norm", reader="t.attn1"), Operator("t.attn1", "attn1")
    saved = {"t.norm1": 1, "t.attn1": 30, "t.attn2": 5}
    assert paths(list(cuts([branch, norm], saved, 100))[-1]) == ["t.attn1"]
    assert paths(list(cuts([norm, op("t.attn2"), branch], saved, 100))[-1]) == ["t.attn2", "t.attn1"]


def test_what_holds_modified_operators_takes_their_place() -> None:
    saved = {"a": 40, "a.x": 10, "a.y": 15, "b": 5}
    steps = list(cuts([op("a.x"), op("b"), op("a.y"), op("a")], saved, 100))
    assert [paths(cut) for cut in steps] == [[], ["a.x"], ["a.x", "b"], ["a.x", "b", "a.y"], ["b", "a"]]
    assert steps[-1].ratio == 0.55


def test_what_saves_nothing_is_not_worth_modifying_unless_p_asks_for_it() -> None:
    ranked, saved = [op("n"), op("a.x"), op("a"), op("b")], {"n": 0, "a.x": 10, "a": 10, "b": 5}
    assert paths(list(cuts(ranked, saved, 100, thrifty=True))[-1]) == ["a.x", "b"]
    assert paths(list(cuts(ranked, saved, 100))[-1]) == ["n", "a", "b"]


STEPS = [Cut((), 1.0, 1.0), Cut((op("a"),), 0.9, 1.0), Cut((op("a"), op("b")), 0.704, 0.9), Cut((op("c"),), 0.6, 0.704)]


@pytest.mark.parametrize(
    ("budget", "expected"), [(1.0, 0), (0.96, 1), (0.9, 1), (0.896, 1), (0.894, 2), (0.7, 2), (0.6, 3), (0.596, 3)]
)
def test_the_first_cut_within_the_tolerance_is_chosen(budget: float, expected: int) -> None:
    assert chosen(STEPS, Budget.of(budget)) is STEPS[expected]


def test_p_chooses_the_number_and_is_held_to_the_budget() -> None:
    assert chosen(STEPS, Budget.of(0.95), p=2) is STEPS[2]
    assert chosen(STEPS, Budget.of(0.95), p=1) is STEPS[1]
    with pytest.raises(BudgetError, match=r"0\.9000.*p=2"):
        chosen(STEPS, Budget.of(0.75), p=1)
    with pytest.raises(BudgetError, match="lower p"):
        chosen(STEPS, Budget.of(0.75), p=3)
    with pytest.raises(BudgetError, match="raise --budget"):
        chosen(STEPS, Budget.of(0.5))


@pytest.mark.parametrize(("budget", "convention"), [(0.9, "exact"), (0.6, "aptp"), (0.6, "modules")])
def test_it_lands_on_the_budget_or_says_why_it_lies_below(
    budget: float, convention: str, job: Jobs, left: Any, settings: dict[str, Any]
) -> None:
    given = job(budget, convention)
    mixture = LDPruner(**settings).prune(given)
    share = left(mixture.experts[0], given)
    assert share <= budget + 0.005
    assert report(given)["macs_ratio"] == pytest.approx(share, abs=1e-12)
    assert bool(mixture.remark) == (share < budget - 0.005)
    if mixture.remark:
        modified = sum(row["modified"] for row in report(given)["operators"])
        assert str(modified) in mixture.remark and f"{share:.4f}" in mixture.remark


def test_a_large_last_operator_is_named_where_it_leads_below_the_budget(
    job: Jobs, left: Any, pruned: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    first, _ = pruned(0.5)
    rows = report(first)["operators"]
    ranked, saved = [Operator(r["operator"], r["kind"]) for r in rows], {r["operator"]: r["saved_macs"] for r in rows}
    dense = count(first.teacher.unet, example_inputs(first.teacher.unet, tokens=77), "exact").total
    step = max(cuts(ranked, saved, dense), key=lambda cut: cut.before - cut.ratio)
    assert step.before - step.ratio > 0.02
    mixture = LDPruner(**settings).prune(job(step.before - 0.006, workdir=tmp_path / "other"))
    last = step.operators[-1]
    assert left(mixture.experts[0], first) == pytest.approx(step.ratio)
    assert last.path in mixture.remark and f"{step.before:.4f}" in mixture.remark


def test_the_lowest_scores_go_and_one_operator_fewer_would_not_do(pruned: Any) -> None:
    given, mixture = pruned(0.7)
    (unet,) = mixture.experts
    rows = report(given)["operators"]
    assert [row["score"] for row in rows] == sorted(row["score"] for row in rows)
    modified = [row["operator"] for row in rows if row["modified"]]
    assert modified and stand_ins(unet) == with_norms(modified)
    last = max(i for i, row in enumerate(rows) if row["modified"])
    for row in rows[:last]:  # whatever scores lower is modified, or inside something that is
        assert row["modified"] or any(row["operator"].startswith(f"{path}.") for path in modified)
    dense = count(given.teacher.unet, example_inputs(given.teacher.unet, tokens=77), "exact").total
    inside = sum(row["saved_macs"] for row in rows[:last] if row["operator"].startswith(f"{rows[last]['operator']}."))
    assert report(given)["macs_ratio"] + (rows[last]["saved_macs"] - inside) / dense > 0.705


def test_all_other_weights_are_the_teachers_bit_for_bit(job: Jobs, settings: dict[str, Any], tiny: Any) -> None:
    (unet,) = LDPruner(**settings).prune(job(0.7)).experts
    replaced, dense = tuple(f"{path}." for path in stand_ins(unet)), tiny.unet.state_dict()
    kept = {name: tensor for name, tensor in unet.state_dict().items() if not name.startswith(replaced)}
    assert kept.keys() == {name for name in dense if not name.startswith(replaced)}
    assert all(torch.equal(tensor, dense[name]) for name, tensor in kept.items())
    assert not {p.data_ptr() for p in unet.parameters()} & {p.data_ptr() for p in tiny.unet.parameters()}


def test_the_result_can_be_fine_tuned(pruned: Any) -> None:
    given, mixture = pruned(0.5)
    unet = clone(mixture.experts[0])
    assert {"attn1", "ff"} & {row["kind"] for row in report(given)["operators"] if row["modified"]}
    unet.requires_grad_(True)
    unet(**inputs(2)).sample.square().mean().backward()
    assert not [name for name, p in unet.named_parameters() if p.grad is None or not p.grad.isfinite().all()]


def test_the_seed_decides(job: Jobs, settings: dict[str, Any], pruned: Any) -> None:
    other = job(0.7, seed=1)
    LDPruner(**settings).prune(other)
    assert report(other) != report(pruned(0.7)[0])


def test_a_killed_pruning_goes_on_with_the_same_result(
    job: Jobs, settings: dict[str, Any], pruned: Any, killed: Any
) -> None:
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            LDPruner(**settings).prune(job(0.7, progress=killed(12)))
    LDPruner(**settings).prune(job(0.7))
    assert report(job()) == report(pruned(0.7)[0])


def test_the_cost_is_said_and_reported(job: Jobs, settings: dict[str, Any]) -> None:
    class Said(SilentProgress):
        lines: list[str] = []

        def say(self, line: str) -> None:
            self.lines.append(line)

    given = job(0.7, progress=Said())
    LDPruner(**settings).prune(given)
    assert report(given)["unet_samples"] == (1 + len(operators(given.teacher.unet))) * 4
    assert 0 < report(given)["unet_samples_saved"] < 0.5 * report(given)["unet_samples"]
    (line,) = Said.lines
    assert str(report(given)["unet_samples"]) in line and f"{report(given)['macs_ratio']:.4f}" in line


def test_a_budget_that_cannot_be_met_is_refused_before_any_scoring(job: Jobs, settings: dict[str, Any]) -> None:
    given = job(0.02)
    with pytest.raises(BudgetError, match="raise --budget"):
        LDPruner(**settings).prune(given)
    assert not list(given.workdir.glob("*"))


@pytest.mark.parametrize(
    "changes",
    [
        {"score": "product"},
        {"score": "average", "generations": 1},
        {"score": "deviation", "unbiased": True},
        {"resnets": "slice", "guidance": 3.0},
        {"prompts": 1000, "batch": 64},
        {"candidates": "paper"},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_every_option_lands(job: Jobs, left: Any, settings: dict[str, Any], changes: dict[str, Any]) -> None:
    given = job(0.7)
    (unet,) = LDPruner(**settings | changes).prune(given).experts
    assert left(unet, given) <= 0.705


def test_free_operators_are_scored_and_modified_only_where_p_asks(job: Jobs, settings: dict[str, Any]) -> None:
    free = {"time_emb_proj", "group_norm", "layer_norm", "activation"}
    given = job(0.9)
    LDPruner(**settings | {"candidates": "all"}).prune(given)
    rows = report(given)["operators"]
    assert free <= {row["kind"] for row in rows}
    assert not [row for row in rows if row["modified"] and not row["saved_macs"]]
    p = sum(row["modified"] for row in rows) + 12
    mixture = LDPruner(**settings | {"candidates": "all", "p": p}).prune(given)
    rows = report(given)["operators"]
    modified = [row["operator"] for row in rows if row["modified"]]
    assert len(modified) == p and stand_ins(mixture.experts[0]) == with_norms(modified)
    assert [row for row in rows if row["modified"] and not row["saved_macs"]]
    assert f"p={p}" in mixture.remark


@pytest.mark.parametrize("changes", [{"score": "product"}, {"score": "deviation"}, {"unbiased": True}])
def test_one_generation_has_no_deviation_to_score_by(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="generations of 2 or more"):
        LDPruner(generations=1, **changes)
    LDPruner(generations=2, **changes)


@pytest.mark.parametrize("scale", ["mini", "smoke", "paper"])
def test_presets_and_fine_tuning_are_settings_that_exist(scale: str) -> None:
    assert registry.get("methods", "ld_pruner") is LDPruner
    LDPruner(**LDPruner.presets[scale])
    assert FinetuneConfig(**LDPruner.finetuning).alpha_distill == 0.7


def test_the_papers_candidates_are_the_default_at_paper_scale_alone() -> None:
    found = {scale: config.recipe("ld_pruner", "coco", scale).method_config["candidates"] for scale in config.SCALES}
    assert found == {"mini": "costly", "smoke": "costly", "paper": "paper"}


def test_at_a_budget_of_everything_p_alone_decides(job: Jobs, left: Any, settings: dict[str, Any]) -> None:
    """The paper's rule: so many operators, whatever they save."""
    given = job(1.0)
    mixture = LDPruner(**settings | {"candidates": "paper", "p": 9}).prune(given)
    modified = [row["operator"] for row in report(given)["operators"] if row["modified"]]
    assert len(modified) == 9 and stand_ins(mixture.experts[0]) == with_norms(modified)
    assert report(given)["macs_ratio"] == pytest.approx(left(mixture.experts[0], given))


def test_a_transformer_takes_the_place_of_its_blocks_and_these_of_their_branches(tiny: Any) -> None:
    paper = {o.path: o for o in operators(tiny.unet, "paper")}
    outer = next(o for o in paper.values() if o.kind == "transformer")
    block, branch = paper[f"{outer.path}.transformer_blocks.0"], paper[f"{outer.path}.transformer_blocks.0.attn1"]
    saved = {outer.path: 40, block.path: 30, branch.path: 10}
    steps = list(cuts([branch, block, outer], saved, 100))
    assert [paths(cut) for cut in steps] == [[], [branch.path], [block.path], [outer.path]]
    assert [paths(cut) for cut in cuts([outer, block, branch], saved, 100)] == [[], [outer.path]]
