"""Models that read no prompts go through the same pass; what needs prompts is refused in one line."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import pytest
import torch
from scipy.io import wavfile

from aptp_bench.audio.mel import MINI
from aptp_bench.config import recipe, with_reference
from aptp_bench.core.progress import SilentProgress
from aptp_bench.errors import ConfigError
from aptp_bench.harness.run import run_each
from aptp_bench.harness.run_folder import place
from aptp_bench.reporting.figures.facts import facts_of
from aptp_bench.reporting.pages.report import report

SMALL = ["sizes.train=12", "sizes.val=6", "sampling.steps=2", "finetune.steps=2", "finetune.batch=4"]
METRICS = "metrics=[macs,parameters,fid,clip_score,ssim]"


def faces(method: str, *settings: str) -> Any:
    return recipe(method, "faces", "smoke", {"weights": "random"}, [*SMALL, METRICS, *settings])


def test_images_without_prompts_are_held_against_those_that_were_learned_from(store) -> None:
    dense, pruned = run_each(with_reference(faces("norm")), store, torch.device("cpu"))
    assert (dense.task, pruned.task) == ("image", "image")
    assert pruned.results["fid"].n == 6 and pruned.results["fid"].detail["n_real"] == 12
    assert 0.7 < pruned.macs["exact"].ratio < 0.8 and 0 < pruned.results["ssim"].value < 1
    assert pruned.skipped["clip_score"] == "needs captions"
    assert set(pruned.samples.captions) == {""}


def test_the_images_that_were_learned_from_decide_the_distance(store) -> None:
    few, many = (run_each([faces("dense", f"sizes.train={n}")], store, torch.device("cpu"))[0] for n in (8, 12))
    assert (few.results["fid"].detail["n_real"], many.results["fid"].detail["n_real"]) == (8, 12)
    assert few.results["fid"].value != many.results["fid"].value


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


def test_sounds_are_drawn_as_spectrograms_and_played_in_the_report(store) -> None:
    settings = {"weights": "random"}, [*SMALL, "metrics=[macs,parameters,latency,speedup,fad,ssim]"]
    runs = run_each(with_reference(recipe("norm", "sounds", "smoke", *settings)), store, torch.device("cpu"))
    assert [run.task for run in runs] == ["audio", "audio"] and runs[1].results["fad"].detail["n_real"] == 12
    assert not runs[1].skipped and runs[1].results["speedup"].value < 100
    page, left_out = report(facts_of(place(runs[1], store.root)), SilentProgress())
    players = re.findall(r'<audio[^>]* src="data:audio/wav;base64,([^"]+)"', page)
    assert len(players) == 2 * runs[1].results["fad"].n and "samples" not in left_out
    rate, samples = wavfile.read(io.BytesIO(base64.b64decode(players[0])))
    assert rate == MINI.rate and samples.shape == (MINI.samples,) and samples.any()


@pytest.mark.parametrize(("dataset", "metric"), [("faces", "fid"), ("sounds", "fad")])
def test_the_embedded_networks_draw_what_they_learned_from(store, dataset: str, metric: str) -> None:
    few = ["sizes.train=64", "sizes.val=24", "sampling.steps=8", "sampling.batch=24", f"metrics=[{metric}]"]
    asked = [
        recipe("dense", dataset, "smoke", {"weights": weights} if weights else {}, few) for weights in ("random", None)
    ]
    untrained, trained = (run_each([each], store, torch.device("cpu"))[0].results[metric].value for each in asked)
    assert trained < untrained / 2


def test_one_architecture_for_all_needs_no_prompts() -> None:
    assert faces("aptp", "uni_arch=true").method == "aptp"
