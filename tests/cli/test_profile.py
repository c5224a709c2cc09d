from __future__ import annotations

import json
from pathlib import Path

import pytest

from aptp_bench.models.mixture import Mixture
from aptp_bench.profiling import records

# of the exact MACs that a uniform cut by 0.1 keeps, less what the walk to a budget leaves (widths.CLOSE)
UNIFORM = 895_158_711_936 / 1_074_552_872_960 - 4.9999e-5


@pytest.fixture
def profile(call):
    """profile(*words) -> the JSON that the command prints."""

    def ask(*words: str) -> dict:
        code, out = call("profile", *words, "--json")
        assert code == 0
        return json.loads(out)

    return ask


def test_sd21_at_512_pixels(profile) -> None:
    said = profile("--model", "sd21", "--resolution", "512")
    assert (said["resolution"], said["latent"]) == (512, 64)
    assert said["dense"]["macs"]["aptp"] == 460_909_190_784
    assert said["dense"]["macs"]["exact"] == 402_128_732_160
    assert said["tree"]["macs"] == said["dense"]["macs"]
    assert said["as_others_count"]["attention products"] == 63_026_135_040


def test_the_smallest_network_of_bk_sdm(profile, monkeypatch) -> None:
    """Golden parameters of Tiny at SD 2.1's geometry; its weights are left out to save their minute."""
    weightless(monkeypatch)
    (net,) = profile("--model", "sd21", "--method", "bk_sdm", "--set", "variant=tiny")["experts"]
    assert net["parameters"] == 326_825_604
    assert round(net["macs"]["exact"] / 1e9, 1) == 648.8


@pytest.mark.slow
def test_a_uniform_cut_of_sd21(profile, monkeypatch) -> None:
    """Golden values of a uniform cut by 0.1: parameters and MACs to the last integer."""
    weightless(monkeypatch)
    words = ["--set", "heads=width", "--set", "ranking=local", "--set", "rounding=up"]
    (net,) = profile("--model", "sd21", "--method", "norm", "--budget", repr(UNIFORM), *words)["experts"]
    assert net["parameters"] == 702_900_004
    assert (net["macs"]["aptp"], net["macs"]["exact"]) == (1_171_462_123_584, 895_158_711_936)


def weightless(monkeypatch) -> None:
    """Load SD 2.1's U-Net without numbers, and score its channels as if all were alike."""
    import torch

    from aptp_bench.models import coupled
    from aptp_bench.models.stable_diffusion import SD21, MiniSD

    def load(self, weights=None):
        teacher = MiniSD().load()
        with torch.device("meta"):
            teacher.register_modules(unet=self.geometry.build_unet())
        teacher.tokenizer.model_max_length = 77
        teacher.to = lambda device: teacher  # there is nothing to move
        return teacher

    def alike(unet, among, saliency, first=False):
        return [torch.arange(group.size, dtype=torch.float64) + 1 for group in among]

    monkeypatch.setattr(SD21, "load", load)
    monkeypatch.setattr(coupled, "scores", alike)


def test_a_mixture_is_shown_expert_by_expert(call, profile, tiny, tiny_model, tmp_path) -> None:
    Mixture([tiny.unet, tiny.unet], Mixture.of_one(tiny.unet).router).save(tmp_path / "mixture")
    said = profile("--model", tiny_model, "--mixture", "mixture")
    assert [net["macs"] for net in said["experts"]] == [said["dense"]["macs"]] * 2
    _, out = call("profile", "--model", tiny_model, "--mixture", "mixture")
    assert "dense" in out and "expert 1" in out and f"gates of the dense network: {said['gates']}" in out


def test_a_runs_experts_are_weighed_by_their_prompts(call, profile, tiny_model) -> None:
    words = ["run", "--method", "aptp", "--budget", "0.8", "--dataset", "coco", "--scale", "smoke", "--no-reference"]
    for setting in (
        "metrics=[macs]", "sampling.steps=1", "sizes.train=12", "sizes.val=5", "sizes.partiprompts=0", "resolution.train=8",
        "resolution.measure=8", "finetune.steps=1", "finetune.batch=4", "experts=2", "batch=4", "warmup_steps=1", "joint_steps=1",
    ):  # fmt: skip
        words += ["--set", setting]
    code, out = call(*words, "--model", tiny_model)
    assert code == 0
    (run,) = [line.removeprefix("run: ") for line in out.splitlines() if line.startswith("run: ")]
    said = profile("--run", run)
    record = json.loads(Path(run, "run.json").read_text(encoding="utf-8"))["record"]
    served = [expert["eval_prompts"] for expert in record["experts"]]
    assert [net["share"] for net in said["experts"]] == pytest.approx([n / sum(served) for n in served])
    assert [net["macs"] for net in said["experts"]] == [expert["macs"] for expert in record["experts"]]
    assert (said["model"], said["method"], said["budget"]["ratio"]) == (tiny_model, "aptp", 0.8)
    assert said["macs_ratio"]["exact"] == pytest.approx(record["macs"]["exact"]["ratio"])


def test_everything_is_shown_and_what_is_asked_for_is_measured(call, tiny_model, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["aptp-bench", "profile", "--model", tiny_model])
    words = ["--latency", "image", "--dtype", "fp32,bf16", "--batch", "1,2", "--repeats", "2", "--warmup", "0"]
    words += ["--plot", "macs.png", "--results-dir", "out", "--on", "A100", "--depth", "2"]
    code, out = call("profile", "--model", tiny_model, "--method", "random", "--budget", "0.7", *words)
    assert code == 0
    for name in (
        "float32, batch 1, eager",
        "bfloat16, batch 2, eager",
        "alignment",
        "predicted",
        "resnets.0",
        "measured",
    ):
        assert name in out
    assert (tmp_path / "macs.png").read_bytes().startswith(b"\x89PNG")
    (path,) = (tmp_path / "out" / "speed").iterdir()
    record = records.load(path)
    assert [timing.setup.batch for timing in record.timings] == [1, 2, 1, 2]
    assert record.how.command == f"aptp-bench profile --model {tiny_model}"
    assert record.macs_ratio["exact"] == pytest.approx(0.7, abs=0.005)


def test_nothing_is_measured_unasked(call, profile, tiny_model) -> None:
    said = profile("--model", tiny_model)
    assert said["timings"] == []
    assert len(said["predicted"]) == 8
    _, out = call("profile", "--model", tiny_model)
    assert "add --latency" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method", "norm", "--mixture", "x"], "exclude each other"),
        (["--run", "nowhere"], "nowhere is no run"),
        (["--set", "order=2"], "name the method with --method"),
        (["--method", "norm", "--set", "ordre=2"], "did you mean order"),
        (["--method", "norm", "--budget", "1.5"], "0 < budget <= 1"),
        (["--resolution", "100"], "use --resolution 96"),
        (["--on", "A10"], "did you mean 'A100'"),
        (["--latency", "call", "--dtype", "int8"], "unknown type 'int8'"),
        (["--plot", "x.pdf"], ".png and .svg"),
        (["--plot", "nowhere/x.png"], "is no folder"),
    ],
)
def test_bad_input_is_one_line_with_the_fix(call, words: list[str], said: str) -> None:
    code, _ = call("profile", "--model", "mini", *words)
    assert code == 2
    assert said in call.err
    assert len(call.err.strip().splitlines()) == 1


def test_the_speed_tables_command_says_its_options() -> None:
    import subprocess
    import sys

    words = [sys.executable, "-m", "aptp_bench.benchmarks.speed", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    assert "--results-dir" in done.stdout
    assert Path("results").name in done.stdout
