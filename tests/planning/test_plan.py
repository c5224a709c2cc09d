"""A plan counts what is shared once, says what will not fit and what makes it fit, and needs nothing but the recipe."""

from __future__ import annotations

import json
import math
import re
import statistics
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from aptp_bench import config
from aptp_bench.errors import ConfigError
from aptp_bench.harness import plans
from aptp_bench.harness.suite import Suite
from aptp_bench.planning import facts
from aptp_bench.planning import plan as planning
from aptp_bench.planning.__main__ import recipes
from aptp_bench.planning.facts import Facts
from aptp_bench.planning.machine import EFFICIENCY, Machine
from aptp_bench.planning.plan import Plan, plan
from aptp_bench.planning.stages import Run
from aptp_bench.plugins import Method

ROOT = Path(__file__).parents[2]
HUGE = 1e6  # GiB


def table(name: str = "aptp_1b", scale: str = "paper", *settings: str) -> list[tuple[str, Any]]:
    return [(run.label, run.recipe) for run in Suite.load(name, scale).runs(settings)]


def planned(runs: Any, tmp_path: Path, price: float | None = None, **machine: Any) -> Plan:
    return plan("a plan", runs, Machine.of(**{"name": "a100-80gb", "memory_gib": HUGE, **machine}), tmp_path, price)


def one(*settings: str, method: str = "aptp", scale: str = "paper") -> list[tuple[str, Any]]:
    return [(method, config.recipe(method, "coco", scale, {}, settings))]


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return planned(table(), tmp_path_factory.mktemp("runs"), price=2.0, processes=8)


def test_a_row_has_the_stages_that_its_run_comes_to(paper: Plan) -> None:
    rows = [[stage.stage for stage in row.stages] for row in paper.rows]
    assert rows == [plans.stages(recipe, anywhere=True) for _, recipe in table()]
    for stages, (_, recipe) in zip(rows, table(), strict=True):  # whatever networks lie on the machine that plans
        assert {f"measure-{name}" for name in recipe.metrics} <= {*stages}


def test_sums_are_of_what_is_made_once(paper: Plan) -> None:
    made = [stage for row in paper.rows for stage in row.stages if not stage.made_by]
    assert paper.seconds == pytest.approx(sum(stage.seconds or 0 for stage in made))
    assert paper.seconds == pytest.approx(sum(paper.seconds_by_stage.values()))
    assert sum(paper.disk_bytes.values()) == sum(stage.disk_bytes for stage in made)
    assert paper.device_hours == pytest.approx(8 * paper.seconds / 3600) and paper.price == 2 * paper.device_hours
    assert [stage.stage for stage in made].count("pairs") == 1


def test_the_dense_images_are_made_by_the_dense_row(paper: Plan) -> None:
    others = [stage for row in paper.rows[1:] for stage in row.stages if stage.stage == "reference"]
    assert others and {stage.made_by for stage in others} == {paper.rows[0].label}


def test_a_row_that_is_asked_for_twice_costs_nothing_more(tmp_path: Path) -> None:
    (label, recipe), *_ = one()
    once, twice = planned([(label, recipe)], tmp_path), planned([(label, recipe), ("again", recipe)], tmp_path)
    assert twice.seconds == once.seconds and twice.disk_bytes == once.disk_bytes


def test_more_processes_take_less_time_and_no_more_memory(paper: Plan, tmp_path: Path) -> None:
    alone = planned(table(), tmp_path)
    for a, b in zip(alone.rows, paper.rows, strict=True):
        assert a.seconds / 8 <= b.seconds < a.seconds
        assert all((y.memory_bytes or 0) <= (x.memory_bytes or 0) for x, y in zip(a.stages, b.stages, strict=True))


def test_expected_seconds_are_the_bound_over_the_efficiency(tmp_path: Path) -> None:
    half = planned(one(), tmp_path, efficiency=0.5)
    for stage in half.rows[0].stages:
        assert stage.seconds is None or stage.seconds == pytest.approx(2 * (stage.bound_s or 0))


@pytest.mark.parametrize(
    "more", [[], ["precision=bfloat16"], ["gradient_checkpointing=true"], ["accumulate=2", "encode_batch=4096"]]
)
@pytest.mark.parametrize("memory_gib", [3, 24, 40, 80])
def test_what_a_warning_names_makes_it_fit(tmp_path: Path, more: list[str], memory_gib: float) -> None:
    settings = ["accumulate=1", "finetune.accumulate=1", *more]
    found = planned(one(*settings), tmp_path, memory_gib=memory_gib)
    unfit = [warning for warning in found.warnings if "GiB" in warning]
    assert unfit
    named = [part for warning in unfit for part in re.findall(r"--set (\S+)", warning)]
    left = planned(one(*settings, *named), tmp_path, memory_gib=memory_gib)
    hopeless = [warning for warning in unfit if "more memory" in warning]
    assert len([warning for warning in left.warnings if "GiB" in warning]) == len(hopeless)


@pytest.mark.parametrize(("method", "memory_gib"), [("ld_pruner", 12), ("structural", 17), ("norm", 10)])
def test_a_warning_names_the_methods_own_setting(tmp_path: Path, method: str, memory_gib: float) -> None:
    """Followed until nothing is named any more, the warnings that are left are those that no setting helps."""
    settings: list[str] = []
    for _ in range(4):
        found = planned(one(*settings, method=method), tmp_path, memory_gib=memory_gib, processes=2)
        named = [part for warning in found.warnings if "GiB" in warning for part in re.findall(r"--set (\S+)", warning)]
        if not named:
            break
        settings += named
    assert settings and not named


def test_processes_that_share_a_network_need_less(tmp_path: Path) -> None:
    """What one card cannot hold, with activations forgotten even, is named as what several can share."""
    shared = "finetune.shard=true"
    spare = ["finetune.gradient_checkpointing=true"]
    whole, parted = (
        next(s for s in planned(one(*spare, *more), tmp_path, processes=8).rows[0].stages if s.stage == "finetune")
        for more in ([], [shared])
    )
    assert (parted.memory_bytes or 0) < (whole.memory_bytes or 0)
    gib = ((parted.memory_bytes or 0) + (whole.memory_bytes or 0)) / 2 / 2**30 / 0.9
    warnings = planned(one("finetune.accumulate=auto"), tmp_path, processes=8, memory_gib=gib).warnings
    (named,) = [w for w in warnings if "finetune" in w and "GiB" in w]
    assert shared in named
    left = planned(
        one("finetune.accumulate=auto", *re.findall(r"--set (\S+)", named)), tmp_path, processes=8, memory_gib=gib
    )
    assert not [w for w in left.warnings if "finetune" in w and "GiB" in w]


def test_auto_fits_wherever_one_sample_does(tmp_path: Path) -> None:
    auto = one("sampling.batch=1")  # accumulate is auto at paper scale
    for gib in (40, 80):
        assert not [warning for warning in planned(auto, tmp_path, memory_gib=gib).warnings if "GiB" in warning]


def test_a_disk_that_is_too_small_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = planning.shutil.disk_usage(tmp_path)
    for free, said in ((10**15, False), (10**9, True)):
        monkeypatch.setattr(planning.shutil, "disk_usage", lambda folder, free=free: usage._replace(free=free))
        found = planned(one(), tmp_path / "not" / "there")
        assert any("GB of disk" in warning for warning in found.warnings) == said
    assert not (tmp_path / "not").exists()


def test_what_a_method_does_not_say_is_not_estimated(tmp_path: Path, register: Any) -> None:
    class Silent(Method):
        """Of a stranger."""

        name = "silent"

        def prune(self, job: Any) -> Any:
            raise NotImplementedError

    register("methods", "silent", Silent)
    found = planned(one(method="silent", scale="mini"), tmp_path)
    assert "prune" in found.not_estimated and "finetune" in found.seconds_by_stage


def test_a_model_that_says_its_unet_alone_is_planned(tmp_path: Path, tiny_model: str) -> None:
    recipe = config.recipe("random", "coco", "smoke", {"model": tiny_model}, ["resolution.train=8"])
    found = planned([("random", recipe)], tmp_path)
    assert "pairs" in found.not_estimated and found.seconds_by_stage["finetune"] > 0


def test_more_parts_than_samples_are_planned_as_one_a_sample(tmp_path: Path) -> None:
    many, each = (planned(one(f"finetune.accumulate={parts}"), tmp_path) for parts in (1000, 128))
    assert many.seconds == each.seconds and many.memory_bytes == each.memory_bytes


def test_money_is_finite(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        planned(one(), tmp_path, price=math.inf)


def test_more_processes_than_a_batch_has_samples_are_refused(tmp_path: Path) -> None:
    """So does the run, but only when its training begins."""
    assert planned(one("finetune.batch=8", method="norm"), tmp_path, processes=8).rows
    with pytest.raises(ConfigError, match="--processes 8"):
        planned(one("finetune.batch=8", method="norm"), tmp_path, processes=9)


def test_a_machine_must_make_sense() -> None:
    assert Machine.of("A100").memory == Machine.of("a100-80gb").memory == 80 * 2**30
    small = Machine.of("a100-40gb")
    assert small.memory == 40 * 2**30 and "40 GB" in small.device.title and "80" not in small.device.title
    assert Machine.of("a100-40gb", memory_gib=30).memory == 30 * 2**30
    for wrong in ({"name": "A10"}, {"name": "A1000"}, {"efficiency": 0.0}, {"processes": 0}, {"memory_gib": 0.0}):
        with pytest.raises(ConfigError):
            Machine.of(**{"name": "A100", **wrong})  # type: ignore[arg-type]


def test_the_efficiency_is_what_the_records_of_speed_have() -> None:
    """Of U-Net calls that keep their device busy: float32, or several images at once."""
    shares = []
    for file in sorted((ROOT / "results" / "speed").glob("*.json")):
        for timing in json.loads(file.read_text(encoding="utf-8"))["timings"]:
            setup, bound = timing["setup"], timing["predicted_call_s"]
            gpu = "NVIDIA" in timing["conditions"]["device"]
            busy = setup["batch"] > 1 or (gpu and setup["dtype"] == "float32")
            if busy and bound and not setup["compiled"]:
                shares.append(bound / timing["call"]["median_s"])
    assert len(shares) >= 10
    assert statistics.median(shares) == pytest.approx(EFFICIENCY, abs=0.05)


def test_every_image_is_counted_once_however_many_captions_it_has(tmp_path: Path) -> None:
    """Latents of SD 2.1 at 256 px are 4 x 32 x 32 numbers of two bytes; COCO 2014 has 82,783 training images."""
    for pairs, images in ((400_000, 82_783), (1_000, 1_000)):
        found = planned(one(f"sizes.train={pairs}"), tmp_path)
        assert found.disk_bytes["pairs"] == 2 * 4 * 32 * 32 * images
    texts = planned(one("sizes.train=400000", "store_text=true"), tmp_path).disk_bytes["pairs"]
    assert texts == 2 * (4 * 32 * 32 * 82_783 + 77 * 1024 * 400_000)


def test_plans_of_what_comes_with_the_package_count_nothing_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting takes seconds, and loads torch; `python -m aptp_bench.planning` makes what is missing here."""

    def counting() -> Any:
        raise AssertionError("counted anew")

    monkeypatch.setattr(facts, "_counting", counting)
    facts_of = cache(Facts)
    alike = {(each.model, each.method, each.scale, each.resolution): each for each in recipes()}
    for each in alike.values():
        assert list(Run(each, facts_of(each.model), Machine.of("A100", memory_gib=HUGE)).loads())


def test_the_guide_says_what_a_plan_says(tmp_path: Path) -> None:
    guide = " ".join((ROOT / "docs" / "paper_scale.md").read_text(encoding="utf-8").split())
    found = planned(table(), tmp_path, processes=8, memory_gib=80)
    (last,) = [stage for stage in found.rows[-1].stages if stage.stage == "finetune"]
    minutes = [sum(s.seconds or 0 for s in row.stages if s.stage.startswith("measure-")) / 60 for row in found.rows]
    rest = max(amount for stage, amount in found.memory_bytes.items() if stage != "prune")
    expected = {
        r"about ([\d.]+) hours of all eight": found.seconds / 3600,
        r"needs ([\d.]+) GiB in APTP's search": found.memory_bytes["prune"] / 2**30,
        r"search, ([\d.]+) elsewhere": rest / 2**30,
        r"the folder of runs ([\d.]+) GB": sum(found.disk_bytes.values()) / 1e9,
        r"the encoded pairs, ([\d.]+) GB": found.disk_bytes["pairs"] / 1e9,
        r"of a mixture of eight, ([\d.]+) GB": last.disk_bytes / 1e9,
        r"files: ([\d.]+) to": min(minutes),
        r"to ([\d.]+) minutes a row": max(minutes),
    }
    said = {words: re.search(words, guide) for words in expected}
    assert all(said.values()), said
    assert {words: float(each[1]) for words, each in said.items() if each} == pytest.approx(expected, rel=0.04)
