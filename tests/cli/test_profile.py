from __future__ import annotations

import json

import pytest

from aptp_bench.models.checkpoint import save_unet
from aptp_bench.models.mixture import Mixture
from aptp_bench.profiling import records
from aptp_bench.pruning.macs import count, example_inputs
from tests.conftest import narrow, tiny_pipeline


@pytest.fixture
def profile(call):
    """profile(*words) -> the JSON that the command prints."""

    def ask(*words: str) -> dict:
        code, out = call("profile", *words, "--json")
        assert code == 0
        return json.loads(out)

    return ask


def test_other_pixels_are_other_latents_and_macs(profile, tiny, tiny_model) -> None:
    said = profile("--model", tiny_model, "--resolution", "16")
    assert (said["resolution"], said["latent"]) == (16, 8)
    assert said["dense"]["macs"]["exact"] == count(tiny.unet, example_inputs(tiny.unet, 8, 77), "exact").total
    assert said["tree"]["macs"] == said["dense"]["macs"] and said["timings"] == []


def test_a_mixture_is_shown_expert_by_expert(call, profile, tiny, tiny_model, tmp_path) -> None:
    Mixture([tiny.unet, tiny.unet], Mixture.of_one(tiny.unet).router).save(tmp_path / "mixture")
    said = profile("--model", tiny_model, "--mixture", "mixture")
    assert [net["macs"] for net in said["experts"]] == [said["dense"]["macs"]] * 2
    _, out = call("profile", "--model", tiny_model, "--mixture", "mixture")
    assert "dense" in out and "expert 1" in out and f"gates of the dense network: {said['gates']}" in out


def test_a_runs_experts_are_weighed_by_their_prompts(profile, finished) -> None:
    run = finished("aptp")
    said = profile("--run", str(run))
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))["record"]
    served = [expert["eval_prompts"] for expert in record["experts"]]
    assert [net["share"] for net in said["experts"]] == pytest.approx([n / sum(served) for n in served])
    assert [net["macs"] for net in said["experts"]] == [expert["macs"] for expert in record["experts"]]
    assert (said["model"], said["method"], said["budget"]["ratio"]) == ("tiny-sd", "aptp", 0.8)
    assert said["macs_ratio"]["exact"] == pytest.approx(record["macs"]["exact"]["ratio"])


def test_everything_is_shown_and_what_is_asked_for_is_measured(call, tiny_model, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["aptp-bench", "profile", "--model", tiny_model])
    words = ["--latency", "image", "--dtype", "fp32", "--batch", "1,2", "--repeats", "2", "--warmup", "0"]
    words += ["--plot", "macs.png", "--results-dir", "out", "--on", "A100", "--depth", "2"]
    words += ["--method", "norm", "--set", "order=1.5", "--budget", "0.7"]
    code, out = call("profile", "--model", tiny_model, *words)
    assert code == 0
    for name in ("float32, batch 1, eager", "float32, batch 2, eager", "alignment", "predicted", "resnets.0"):
        assert name in out
    assert (tmp_path / "macs.png").read_bytes().startswith(b"\x89PNG")
    (path,) = (tmp_path / "out" / "speed").iterdir()
    record = records.load(path)
    assert [timing.setup.batch for timing in record.timings] == [1, 2]
    assert record.how.command == f"aptp-bench profile --model {tiny_model}"
    assert record.method_config["order"] == 1.5
    assert record.macs_ratio["exact"] == pytest.approx(0.7, abs=0.005)


def test_weights_are_profiled_as_they_are_and_never_taken_for_the_dense_network(
    call, profile, tiny, tiny_model, tmp_path
) -> None:
    small = narrow(tiny.unet, 0.5)
    save_unet(small, tmp_path / "half")
    said = profile("--model", tiny_model, "--weights", str(tmp_path / "half"))
    (expert,) = said["experts"]
    inputs = example_inputs(tiny.unet, tokens=77)
    assert expert["macs"] == {name: count(small, inputs, name).total for name in ("exact", "aptp", "modules")}
    assert expert["macs"]["exact"] < said["dense"]["macs"]["exact"] and said["label"] == "half"
    save_unet(tiny_pipeline(cross_attention_dim=32).unet, tmp_path / "other")
    code, _ = call("profile", "--model", tiny_model, "--weights", str(tmp_path / "other"))
    assert code == 2 and "cross_attention_dim" in call.err


def test_published_weights_are_profiled_without_a_budget(profile, tiny, tiny_model, tmp_path) -> None:
    save_unet(narrow(tiny.unet, 0.5), tmp_path / "half")
    said = profile("--model", tiny_model, "--method", "checkpoint", "--set", f"folder={tmp_path / 'half'}")
    assert said["experts"][0]["macs"]["exact"] < said["dense"]["macs"]["exact"]
