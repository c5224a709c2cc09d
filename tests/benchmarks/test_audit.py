"""The audit's page holds what its findings say, and a check still finds what the page says wherever that takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from aptp_bench.benchmarks.audit import loading, noise, placement
from aptp_bench.benchmarks.audit.finding import Finding, Place, load
from aptp_bench.benchmarks.audit.page import CHECKS, filled
from aptp_bench.core.progress import SilentProgress
from aptp_bench.errors import ConfigError
from aptp_bench.models.stable_diffusion import MiniSD


@pytest.fixture
def page(tracked: Path) -> str:
    return (tracked / "docs" / "audit.md").read_text(encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path, tracked: Path) -> Place:
    return Place(tracked / "results", tmp_path / "runs", "smoke", SilentProgress())


def test_the_page_is_what_the_findings_give(page: str, tracked: Path) -> None:
    assert filled(page, list(CHECKS.values()), tracked / "results") == page


def test_a_changed_finding_changes_the_page(tmp_path: Path, page: str, tracked: Path) -> None:
    for path in (tracked / "results" / "audit").glob("*.json"):
        (tmp_path / "audit").mkdir(exist_ok=True)
        (tmp_path / "audit" / path.name).write_text(path.read_text().replace("1384186267264", "1384186267265000"))
    assert filled(page, list(CHECKS.values()), tmp_path) != page


def test_a_page_without_a_place_for_a_check_is_refused(tracked: Path) -> None:
    with pytest.raises(ConfigError, match="no place for 'counting'"):
        filled("# Audit\n", [CHECKS["counting"]], tracked / "results")


@pytest.mark.parametrize("name", ["counting", "seconds"])
def test_what_needs_no_training_is_found_again(name: str, place: Place, tracked: Path) -> None:
    assert CHECKS[name].measure(place) == load(tracked / "results", name).facts


def test_every_finding_of_quality_is_of_the_mini_world(tracked: Path) -> None:
    found = [load(tracked / "results", name) for name in CHECKS]
    assert {each.world for each in found} == {"mini"} and all(isinstance(each, Finding) for each in found)


def test_cross_attention_is_counted_ten_times_too_dear(tracked: Path) -> None:
    cross = load(tracked / "results", "counting").facts["cross_attention"]
    assert round(cross["aptp"] / 1e9, 1) == 341.3 and round(cross["exact"] / 1e9, 1) == 34.8


def test_a_gate_before_the_norm_is_blind_and_not_what_is_cut(place: Place) -> None:
    effects = placement.measure(place)["effects"]
    ours, theirs = effects["consumer"], effects["before_norm"]
    assert theirs["change"] < 1e-3 * ours["change"] and theirs["gradient"] < 1e-3 * ours["gradient"]
    assert ours["gated_against_cut"] < 1e-12 < 1e-2 < theirs["gated_against_cut"]


def test_cutting_first_keeps_what_fits_and_no_slice_of_the_rest() -> None:
    from aptp_bench.pruning.gates import GateSpace
    from aptp_bench.pruning.surgery import cut

    teacher = MiniSD().load().unet
    space = GateSpace.of(teacher)
    keep = torch.ones(space.size, dtype=torch.bool)
    for layer in space.widths:
        keep[layer.start + 1 : layer.span.stop : 2] = False
    pruned = cut(teacher, space, keep)
    reset, dense = loading.cut_then_loaded(pruned, teacher).state_dict(), teacher.state_dict()
    lost = [name for name, tensor in reset.items() if tensor.shape != dense[name].shape]
    assert len(lost) == loading.left_random(pruned, teacher)["tensors"] > len(reset) / 4
    assert all(torch.equal(tensor, dense[name]) for name, tensor in reset.items() if name not in lost)
    weights = [name for name in lost if reset[name].ndim > 1]
    assert weights and not any(torch.equal(reset[name], pruned.state_dict()[name]) for name in weights)


def test_reseeded_noise_has_as_many_noises_as_a_batch_has_places(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "BATCHES", (8, 1))
    ways = noise.measure(place)["ways"]
    assert [found["noises"] for found in ways.values()] == [64, 8, 1]
    assert len({found["quality"]["fid"]["value"] for found in ways.values()}) == 3


def test_the_papers_seconds_lie_above_the_bound_of_float32_and_far_from_half(tracked: Path) -> None:
    for found in load(tracked / "results", "seconds").facts.values():
        assert found["float32"] < found["paper"] < 1.1 * found["float32"] and found["paper"] > 5 * found["bfloat16"]
