"""Models that read no prompts go through the same pass; what needs prompts is refused in one line."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from aptp_bench.config import recipe, with_reference
from aptp_bench.errors import ConfigError
from aptp_bench.harness.run import run_each

SMALL = ["sizes.train=12", "sizes.val=6", "sampling.steps=2", "finetune.steps=2", "finetune.batch=4"]
METRICS = "metrics=[macs,parameters,fid,clip_score,ssim]"


def faces(method: str, *settings: str) -> Any:
    return recipe(method, "faces", "smoke", {"weights": "random"}, [*SMALL, METRICS, *settings])


def test_images_without_prompts_are_held_against_those_that_were_learned_from(store) -> None:
    dense, pruned = run_each(with_reference(faces("norm")), store, torch.device("cpu"))
    assert (dense.task, pruned.task) == ("image", "image")
    assert pruned.results["fid"].n == 6 and pruned.results["fid"].detail["n_real"] == 12
    assert 0.7 < pruned.macs["exact"]["ratio"] < 0.8 and 0 < pruned.results["ssim"].value < 1
    assert pruned.skipped["clip_score"] == "needs captions"
    assert set(pruned.samples.captions) == {""}


@pytest.mark.parametrize(
    ("method", "setting", "why"),
    [
        ("aptp", "seed=0", "what prompts say"),
        ("norm", "sampling.guidance=2", "nothing to guide"),
        ("norm", "prompts=partiprompts", "second prompts"),
        ("norm", "model=mini-sd", "no captions"),
        ("norm", "dataset_config.train=0", "greater than 0"),
    ],
)
def test_what_does_not_suit_the_task_is_refused_before_any_work(method: str, setting: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        faces(method, setting)
    assert "\n" not in str(refused.value)


def test_one_architecture_for_all_needs_no_prompts() -> None:
    assert faces("aptp", "uni_arch=true").method == "aptp"
