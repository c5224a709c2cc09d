"""What a run lacks is known before it begins, of its own paths and weights and not of the defaults."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aptp_bench.assets import path as asset
from aptp_bench.config import recipe
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.store import Store
from aptp_bench.evaluation.unmeasured import unmeasured
from aptp_bench.harness import session
from aptp_bench.harness.readiness import needs


def lacking(*settings: str, weights: str | None = None) -> dict[str, str]:
    asked = recipe("aptp", "coco", "paper", {"weights": weights}, settings)
    return {need.what: str(need.lacks) for need in needs(asked) if need.lacks and need.stops}


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APTP_BENCH_WEIGHTS", str(tmp_path / "weights"))


def test_a_run_looks_where_its_settings_say(tmp_path: Path, build_encoder: Callable[[Path], Path]) -> None:
    assert set(lacking()) == {"dataset coco2014", "prompts partiprompts-full", "model sd21", "method aptp"}
    for name in ("annotations", "train2014", "val2014"):
        (tmp_path / "there" / name).mkdir(parents=True)
    for split in ("train", "val"):
        (tmp_path / "there" / "annotations" / f"captions_{split}2014.json").write_text("{}")
    (tmp_path / "p2.tsv").write_text("Prompt\tCategory\tChallenge\na\tb\tc\n")
    elsewhere = [f"dataset_config.root={tmp_path / 'there'}", f"prompts_config.path={tmp_path / 'p2.tsv'}"]
    assert lacking(*elsewhere, f"encoder={build_encoder(tmp_path / 'encoder')}", weights="random") == {}


def test_a_fix_names_the_setting_that_mends_it() -> None:
    found = lacking(weights="nowhere/at/all")
    assert "dataset_config.root" in found["dataset coco2014"]
    assert "prompts_config.path" in found["prompts partiprompts-full"]
    assert "nowhere/at/all" in found["model sd21"]


def test_a_network_whose_weights_are_named_is_not_lacking(tmp_path: Path) -> None:
    assert "fid" in unmeasured(recipe("norm", "coco", "paper"))
    shutil.copytree(asset("inception"), tmp_path / "mine")
    named = recipe("norm", "coco", "paper", {}, [f"backbone_config.inception-2015.weights={tmp_path / 'mine'}"])
    assert "fid" not in unmeasured(named) and "clip_score" in unmeasured(named)


def test_a_folder_that_a_download_left_half_empty_is_lacking(tmp_path: Path) -> None:
    (tmp_path / "weights" / "inception-2015").mkdir(parents=True)
    assert "inception-2015 holds no safetensors" in unmeasured(recipe("norm", "coco", "paper"))["fid"]
    (tmp_path / "mine").mkdir()
    named = recipe("norm", "coco", "paper", {}, [f"backbone_config.clip-vit-b-32.weights={tmp_path / 'mine'}"])
    assert "mine holds no safetensors" in unmeasured(named)["clip_score"]
    shutil.copytree(asset("stable_diffusion"), tmp_path / "weights" / "sd21")
    assert "model sd21" not in lacking()
    shutil.rmtree(tmp_path / "weights" / "sd21" / "vae")
    for weights in (None, str(tmp_path / "weights" / "sd21")):
        assert "vae holds no safetensors" in lacking(weights=weights)["model sd21"]


def test_without_a_reference_or_second_prompts_their_metrics_are_left_out(tiny_run: Callable[..., Any]) -> None:
    asked = tiny_run("norm", "metrics=[macs,ssim,pick_score]", "reference=null", "sizes.partiprompts=0")
    assert set(unmeasured(asked)) == {"ssim", "pick_score"}


def test_it_is_said_before_the_first_stage(tiny_run: Callable[..., Any], tmp_path: Path) -> None:
    said: list[str] = []

    class Telling(SilentProgress):
        def say(self, line: str) -> None:
            said.append(line)

        def stage(self, name: str) -> Any:
            said.append(f"stage {name}")
            return super().stage(name)

    asked = tiny_run("norm", "metrics=[macs,ssim]", "reference=null")
    session.carry_out([asked], Store(tmp_path / "runs", Telling()), "cpu")
    assert said[0].startswith("ssim will not be measured") and any(line.startswith("stage") for line in said)


def test_a_folder_that_is_there_and_lacks_what_belongs_in_it_is_lacking(tmp_path: Path) -> None:
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    assert "captions_train2014.json" in lacking(f"dataset_config.root={tmp_path / 'coco'}")["dataset coco2014"]
    for name in ("captions_train2017.json", "captions_val2017.json"):
        (tmp_path / "coco" / "annotations" / name).write_text("{}")
    later = lacking(f"dataset_config.root={tmp_path / 'coco'}", "dataset_config.year=2017")
    assert "train2017" in later["dataset coco2014"]
    (tmp_path / "cc3m").mkdir()
    asked = recipe("norm", "cc3m", "paper", {}, [f"dataset_config.root={tmp_path / 'cc3m'}"])
    for there, says in ((None, "train.tsv"), ("train.tsv", "val.tsv"), ("val.tsv", "images"), ("images/", "")):
        if there is not None:
            (tmp_path / "cc3m" / there).mkdir() if there.endswith("/") else (tmp_path / "cc3m" / there).write_text("")
        (found,) = [need for need in needs(asked) if need.what == "dataset cc3m-full"]
        assert says in str(found.lacks) if says else found.lacks is None


def test_a_tilde_is_somebodys_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shells leave it as it is behind "key="."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "p2.tsv").write_text("Prompt\tCategory\tChallenge\na\tb\tc\n")
    shutil.copytree(asset("stable_diffusion"), tmp_path / "mine")
    assert "prompts partiprompts-full" not in lacking("prompts_config.path=~/p2.tsv")
    assert "model sd21" not in lacking(weights="~/mine")
    assert "nobody-of-this-name" in lacking(weights="~nobody-of-this-name/w")["model sd21"]
