from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from diffusers import UNet2DConditionModel

from aptp_bench.benchmarks import oracle_gain
from aptp_bench.config import recipe
from aptp_bench.errors import ConfigError, WeightsError
from aptp_bench.harness import oracle


def run(tmp_path: Path, model: str, **given: Any) -> None:
    small = [f"model={model}", "sizes.val=40", "sizes.train=8", "resolution.train=8", "resolution.measure=8"]
    asked = {"cuts": "0.9,0.8", "at": "0.85", "by": "count", "steps": 2, "scale": "smoke", "setting": small}
    oracle_gain.oracle_gain(**{**asked, "runs_dir": tmp_path / "runs", **given})


def test_the_tables_name_what_was_measured(tmp_path: Path, tiny_model: str, capsys: Any) -> None:
    run(tmp_path, tiny_model, results_dir=tmp_path / "results")
    shown = capsys.readouterr().out
    kept = json.loads(next((tmp_path / "results").rglob("*.json")).read_text())
    assert all(kind["name"] in shown for kind in kept["kinds"]) and "smoke" in shown
    assert f"{kept['gains'][0]['gain']:.1%}" in shown


def test_another_network_is_another_damage(tmp_path: Path, tiny_model: str, tiny: Any, capsys: Any) -> None:
    run(tmp_path, tiny_model, as_json=True)
    first = json.loads(capsys.readouterr().out)
    UNet2DConditionModel.from_config(tiny.unet.config).save_pretrained(tmp_path / "unet")
    run(tmp_path, tiny_model, as_json=True, unet=tmp_path / "unet")
    second = json.loads(capsys.readouterr().out)
    assert first["kinds"] != second["kinds"] and first["how"]["digests"]["model"] != second["how"]["digests"]["model"]


def test_what_cannot_be_read_is_refused(tmp_path: Path, tiny_model: str) -> None:
    with pytest.raises(ConfigError, match="--cuts"):
        run(tmp_path, tiny_model, cuts="half")
    with pytest.raises(WeightsError, match="nowhere"):
        run(tmp_path, tiny_model, unet=tmp_path / "nowhere")


def test_the_line_for_the_oracles_experts_is_one_that_a_run_takes(
    tmp_path: Path, tiny_model: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oracle, "FEW", 1)
    run(tmp_path, tiny_model)
    lines = [line for line in capsys.readouterr().out.splitlines() if "aptp-bench run" in line]
    words = shlex.split(lines[0].partition(": ")[2])
    settings = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    found = recipe("aptp", "coco", "smoke", {"budget.ratio": 0.85}, settings)
    assert found.method_config["routes"] == "kinds" and sum(found.method_config["sizes"].values()) > 0
