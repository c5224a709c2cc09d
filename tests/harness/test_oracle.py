from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench import config
from aptp_bench.budget import Budget
from aptp_bench.core.store import Store
from aptp_bench.errors import ConfigError, DataError, MetricError
from aptp_bench.harness import oracle, run
from aptp_bench.harness.inputs import Materials
from aptp_bench.harness.oracle import Found, Question

CPU = torch.device("cpu")
CUTS = (0.8, 0.6, 0.4)


def found(hardness: list[float], each: int = 40, noise: float = 0.0) -> Found:
    """Kinds a, b, c, … whose damage is hardness x (1 - r)^2 and noise."""
    drawn = torch.Generator().manual_seed(0)
    labels = [chr(97 + i) for i in range(len(hardness)) for _ in range(each)]
    hard = torch.tensor(hardness, dtype=torch.float64).repeat_interleave(each)
    damages = torch.stack([hard * (1 - cut) ** 2 for cut in CUTS])
    damages = damages + noise * torch.randn(damages.shape, generator=drawn, dtype=torch.float64)
    return Found(labels, torch.ones(len(labels), dtype=torch.float64), damages, CUTS)


def test_kinds_come_hardest_first_with_what_the_oracle_gives_them() -> None:
    world = found([1.0, 3.0, 2.0])
    gain = world.gain(0.6)
    assert [kind.name for kind in world.kinds()] == ["b", "c", "a"]
    assert list(gain.ratios) == sorted(gain.ratios, reverse=True)
    assert gain.cross_fitted == pytest.approx(gain.gain) and gain.gain > 0.1


def test_where_kinds_are_alike_noise_wins_nothing_that_lasts() -> None:
    gain = found([1.0] * 8, noise=0.5).gain(0.6)
    assert gain.cross_fitted < gain.gain and gain.cross_fitted < 0.02


def test_a_real_gain_survives_noise() -> None:
    gain = found([1.0, 4.0, 1.0, 4.0], each=100, noise=0.2).gain(0.6)
    assert gain.cross_fitted > 0.2 and gain.interval[0] < gain.gain < gain.interval[1]


def measure(recipe: Any, store: Store, **asked: Any) -> oracle.OracleGain:
    monkey = {"by": "count", "cuts": (0.9, 0.8), "means": (0.85,), "steps": 2}
    return oracle.measure(recipe, Materials.of(recipe, CPU), store, Question(**{**monkey, **asked}))


def test_a_world_is_measured_and_kept(tiny_run: Any, store: Store, tmp_path: Path) -> None:
    recipe = tiny_run("norm", "sizes.val=40")
    once, again = measure(recipe, store), measure(recipe, store)
    assert once.kinds == again.kinds and once.gains == again.gains
    assert sum(kind.pairs for kind in once.kinds) == 40 and len(once.cuts) == 2
    assert all(abs(cut - asked) < 0.01 for cut, asked in zip(once.cuts, (0.9, 0.8), strict=True))
    path = oracle.save(once, tmp_path)
    assert oracle.OracleGain.model_validate_json(path.read_text()) == once


def test_fine_tuning_changes_the_damage(tiny_run: Any, store: Store) -> None:
    recipe = tiny_run("norm", "sizes.val=40", "finetune.lr=0.01")
    plain, tuned = measure(recipe, store), measure(recipe, store, finetune=True)
    assert plain.kinds[0].damages != tuned.kinds[0].damages
    assert (plain.finetune_steps, tuned.finetune_steps) == (0, recipe.finetune["steps"])


def test_few_of_a_kind_are_put_together(tiny_run: Any, store: Store) -> None:
    names = {kind.name for kind in measure(tiny_run("norm", "sizes.val=40"), store, by="subject").kinds}
    assert oracle.RARE in names


def test_a_column_that_is_not_there_is_refused_with_those_that_are(tiny_run: Any, store: Store) -> None:
    with pytest.raises(DataError, match="kind"):
        measure(tiny_run("norm"), store, by="weather")


def test_a_mixture_is_no_uniform_cut(finished: Any, tiny_run: Any, store: Store) -> None:
    encoder = finished("aptp").parent.parent / "encoder"
    recipe = tiny_run("aptp", f"encoder={encoder}", "experts=3", "lr=0.1", "lr_warmup=0", "warmup_steps=3",
                      "joint_steps=5", "batch=12", "align_steps=60", "sizes.val=40")  # fmt: skip
    with pytest.raises(ConfigError, match="uniform"):
        measure(recipe, store)


def test_damage_in_a_metric_is_what_its_replicates_lose(tiny_run: Any, store: Store) -> None:
    recipe = tiny_run("norm", "sizes.val=40", "metrics=[clip_score]")
    lost = measure(recipe, store, damage="clip_score", finetune=True)
    worth = [
        run.run_each([each], store, CPU)[0].results["clip_score"].value
        for each in (config.reference_of(recipe), recipe.model_copy(update={"budget": Budget.of(0.8)}))
    ]
    dense = sum(kind.pairs * kind.error for kind in lost.kinds) / 40
    damage = sum(kind.pairs * kind.damages[1] for kind in lost.kinds) / 40
    assert dense == pytest.approx(-worth[0], abs=1e-4) and damage == pytest.approx(worth[0] - worth[1], abs=1e-4)


def test_a_metric_without_a_number_a_prompt_is_refused(tiny_run: Any, store: Store) -> None:
    with pytest.raises(MetricError, match="macs"):
        measure(tiny_run("norm", "sizes.val=40", "metrics=[macs]"), store, damage="macs")
