"""Any method on a network that somebody holds: the contract of a run, data as a user has it, and nothing written into."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from datasets import Dataset
from diffusers import DDIMScheduler, LDMPipeline, StableDiffusionPipeline
from PIL import Image

import aptp_bench
from aptp_bench.budget import TOLERANCE
from aptp_bench.core.progress import SilentProgress
from aptp_bench.errors import AptpBenchError, BudgetError, ConfigError, DataError, UnknownNameError
from aptp_bench.harness import calibration
from aptp_bench.models.mixture import Mixture
from aptp_bench.models.unconditional import MINI_FACES_GEOMETRY
from aptp_bench.plugins import Job, Method
from aptp_bench.pruning.macs import count, example_inputs
from tests.conftest import tiny_pipeline

SMALL = {
    "block_out_channels": (8, 16),
    "attention_head_dim": [2, 4],
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
PAIRS = [(Image.new("RGB", (12, 8), (20 * i, 0, 0)), f"a red {i}") for i in range(12)]
CAPTIONS = [caption for _, caption in PAIRS]


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionPipeline:
    """One of diffusers' own pipelines, trainable and in training mode, as a user's may be."""
    made = tiny_pipeline(**SMALL)
    made.unet.train().requires_grad_(True)
    return made


def pruned(network: Any, method: str, budget: float = 0.8, *given: Any, **more: Any) -> Any:
    return aptp_bench.prune(network, method, budget, *given, scale="smoke", **more)


def share(unet: Any, whole: Any, convention: Any = "exact", tokens: int = 77) -> float:
    inputs = example_inputs(whole, tokens=tokens)
    return count(unet, inputs, convention).total / count(whole, inputs, convention).total


@pytest.mark.parametrize("convention", ["exact", "modules"])
@pytest.mark.parametrize("method", ["norm", "random"])
def test_a_static_method_gives_a_network_at_the_budget_and_leaves_its_teacher(
    pipe: Any, method: str, convention: Any
) -> None:
    before = {name: tensor.clone() for name, tensor in pipe.unet.state_dict().items()}
    found = pruned(pipe, method, 0.8, macs=convention)
    assert type(found) is type(pipe.unet) and not found.training
    assert abs(share(found, pipe.unet, convention) - 0.8) <= TOLERANCE
    assert all(torch.equal(tensor, before[name]) for name, tensor in pipe.unet.state_dict().items())
    assert pipe.unet.training and all(p.requires_grad for p in pipe.unet.parameters())


def test_the_result_works_in_its_pipeline_and_is_decided_by_the_seed(pipe: Any) -> None:
    one, again, other = (pruned(pipe, "random", seed=seed) for seed in (0, 0, 1))
    assert str(one) == str(again) != str(other)
    served = StableDiffusionPipeline(**{**pipe.components, "unet": one}, requires_safety_checker=False)
    served.set_progress_bar_config(disable=True)
    assert served("a dog", num_inference_steps=1, output_type="np").images.shape == (1, 8, 8, 3)


def test_a_network_alone_is_enough_for_methods_that_read_nothing_else(pipe: Any) -> None:
    assert str(pruned(pipe.unet, "norm")) == str(pruned(pipe, "norm"))
    with pytest.raises(
        ConfigError, match=r"U-Net was given alone and its pipeline's \w+ is needed; give the whole pipe"
    ):
        pruned(pipe.unet, "structural", 0.8, PAIRS)


@pytest.mark.parametrize("form", ["pairs", "files", "dataset"])
def test_pairs_in_every_form_are_the_same_pairs(pipe: Any, tmp_path: Path, form: str) -> None:
    for i, (image, _) in enumerate(PAIRS):
        image.save(tmp_path / f"{i}.png")
    files = [(tmp_path / f"{i}.png", caption) for i, caption in enumerate(CAPTIONS)]
    columns = {"image": [image for image, _ in PAIRS], "caption": CAPTIONS}
    given = {"pairs": PAIRS, "files": files, "dataset": Dataset.from_dict(columns)}
    want, found = (
        calibration.encoded(each, pipe, "smoke", SilentProgress(), tmp_path / name).pairs
        for name, each in (("want", PAIRS), ("found", given[form]))
    )
    assert want.captions == found.captions == CAPTIONS and want.latents.shape == (12, 4, 4, 4)
    assert torch.equal(want.latents, found.latents) and torch.equal(want.text, found.text)


def test_methods_that_learn_learn_from_what_is_given(pipe: Any) -> None:
    assert abs(share(pruned(pipe, "structural", 0.8, PAIRS), pipe.unet) - 0.8) <= TOLERANCE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that operators go whole
        assert share(pruned(pipe, "ld_pruner", 0.8, CAPTIONS), pipe.unet) <= 0.8 + TOLERANCE


def test_aptp_gives_a_mixture_that_is_served(pipe: Any, build_encoder: Any, tmp_path: Path) -> None:
    drawn = torch.get_rng_state()
    few = {"experts": 2, "warmup_steps": 1, "joint_steps": 2, "align_steps": 5, "batch": 12}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two steps find no budget
        found = pruned(pipe, "aptp", 0.8, PAIRS, encoder=str(build_encoder(tmp_path / "encoder")), **few)
    assert isinstance(found, Mixture) and len(found) == 2
    assert torch.equal(torch.get_rng_state(), drawn)  # a caller's own draws go on as without
    served = aptp_bench.RoutedPipeline.of(copy.deepcopy(pipe), found)
    served.set_progress_bar_config(disable=True)
    assert len(served(CAPTIONS[:3], num_inference_steps=1).images) == 3
    assert served.to(torch.float64).mixture.experts[1].dtype == torch.float64


def test_the_name_of_a_dataset_of_the_scale_is_enough(pipe: Any, register: Any) -> None:
    seen: list[Job] = []

    class Watching(Method):
        name = "watching"

        def prune(self, job: Job) -> Mixture:
            seen.append(job)
            return Mixture.of_one(job.teacher.unet)

    register("methods", "watching", Watching)
    aptp_bench.prune(pipe, "watching", 1.0, "coco", scale="smoke", seed=3)
    (job,) = seen
    assert len(job.train) == 512 and set(job.labels) and job.seed == 3 and job.scale == "smoke"
    assert not job.workdir.exists()  # it was temporary
    with pytest.raises(ConfigError, match="dataset 'coco2014' is of the paper world; add scale='paper'"):
        pruned(pipe, "watching", 1.0, "coco2014")


def test_a_stopped_call_goes_on_and_another_call_does_not_read_its_checkpoints(
    pipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: Any
) -> None:
    from aptp_bench.harness import prune as module

    unbroken = pruned(pipe, "structural", 0.8, PAIRS, checkpoint_every=1)
    stopping = killed(after=5)
    with monkeypatch.context() as patch:
        patch.setattr(module, "SilentProgress", lambda: stopping)
        with pytest.raises(KeyboardInterrupt):
            pruned(pipe, "structural", 0.8, PAIRS, checkpoint_every=1, workdir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    goes_on = killed(after=10**9)
    with monkeypatch.context() as patch:
        patch.setattr(module, "SilentProgress", lambda: goes_on)
        found = pruned(pipe, "structural", 0.8, PAIRS, checkpoint_every=1, workdir=tmp_path)
    again = found.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in unbroken.state_dict().items())
    pruned(pipe, "structural", 0.8, PAIRS[:6], checkpoint_every=1, workdir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_model_without_prompts_is_pruned_as_diffusers_has_it() -> None:
    made = MINI_FACES_GEOMETRY.build()
    stock = diffusers.UNet2DModel.from_config(made.unet.config)
    pipeline = LDMPipeline(vqvae=made.vae, unet=stock, scheduler=DDIMScheduler())
    found = pruned(pipeline, "random", 0.8)
    assert isinstance(found, diffusers.UNet2DModel) and abs(share(found, made.unet, tokens=1) - 0.8) <= TOLERANCE
    pipeline.register_modules(unet=found)
    pipeline.set_progress_bar_config(disable=True)
    assert len(pipeline(batch_size=1, num_inference_steps=1).images) == 1
    with pytest.raises(ConfigError, match="aptp goes by what prompts say"):
        pruned(pipeline, "aptp")


def test_a_result_off_its_budget_says_so(pipe: Any) -> None:
    with pytest.warns(UserWarning, match=r"fewer_steps keeps 0\.\d+ of the exact MACs, not 0.8 \(\d+ of 25 steps"):
        found = pruned(pipe, "fewer_steps", 0.8)
    assert isinstance(found, Mixture) and found.plan.made < found.plan.of  # a plan is no network's


LACKING = "this method calibrates on data; give calibration="
BAD: list[tuple[dict[str, Any], type[AptpBenchError], str]] = [
    ({"method": "structural"}, ConfigError, LACKING),
    ({"method": "ld_pruner"}, ConfigError, LACKING),
    ({"method": "structural", "calibration": CAPTIONS}, ConfigError, "reads images too; give calibration="),
    ({"method": "structural", "calibration": [1, 2]}, ConfigError, "calibration is a list of int"),
    ({"method": "structural", "calibration": []}, ConfigError, "an empty or unknown list"),
    ({"method": "structural", "calibration": [image for image, _ in PAIRS]}, ConfigError, "a list of Image"),
    ({"method": "structural", "calibration": [(3, "a dog")]}, DataError, "image 0 of calibration"),
    ({"method": "structural", "calibration": [("no.png", "a dog")]}, DataError, "no.png is missing"),
    ({"method": "structural", "calibration": "cocoa"}, UnknownNameError, "did you mean 'coco'"),
    ({"method": "structural", "calibration": Dataset.from_dict({"text": ["a"]})}, ConfigError, "no column caption"),
    ({"method": "norms"}, UnknownNameError, "did you mean 'norm'"),
    ({"method": "norm", "budget": 1.5}, BudgetError, "not a share of the dense MACs; use budget with 0 <"),
    ({"method": "norm", "budget": "0.6"}, ConfigError, "budget is '0.6'; give the share"),
    ({"method": "norm", "budget": True}, ConfigError, "budget is True; give the share"),
    ({"method": "norm", "seed": "a"}, ConfigError, "seed is 'a'; give a whole number"),
    ({"method": None}, ConfigError, "method is a NoneType; give a name"),
    ({"method": "dense"}, BudgetError, "use budget=1$"),
    ({"method": "norm", "ordr": 2}, ConfigError, "norm has no option 'ordr'"),
    ({"method": "norm", "scale": "huge"}, ConfigError, "unknown scale 'huge'; use scale with one of"),
]


@pytest.mark.parametrize(("given", "kind", "line"), BAD, ids=[line for _, _, line in BAD])
def test_what_cannot_be_is_refused_in_one_line(pipe: Any, given: dict[str, Any], kind: Any, line: str) -> None:
    with pytest.raises(kind, match=line) as caught:
        aptp_bench.prune(pipe, **{"budget": 0.8, "scale": "smoke", **given})
    assert "\n" not in str(caught.value)


def test_networks_that_cannot_be_pruned_are_refused_in_one_line(pipe: Any) -> None:
    half = tiny_pipeline(**SMALL).to(torch.float16)
    for network, line in (
        (pipe.vae, "^AutoencoderKL cannot be pruned"),
        (half, "is in float16, and methods compute in float32"),
        (half.unet, "U-Net is in float16"),
    ):
        with pytest.raises(ConfigError, match=line):
            pruned(network, "norm")
    offloaded = tiny_pipeline(**SMALL)
    offloaded.enable_model_cpu_offload(device="cpu")
    with pytest.raises(ConfigError, match=r"offloaded; call pipeline.remove_all_hooks\(\)"):
        pruned(offloaded, "norm")
