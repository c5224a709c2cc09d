from __future__ import annotations

import copy
import gc
import json
import shutil
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, LCMScheduler
from diffusers.callbacks import SDCFGCutoffCallback
from torch import Tensor

import aptp_bench
from aptp_bench.core.settings import SamplingConfig
from aptp_bench.errors import CheckpointError, ConfigError, DataError, WeightsError
from aptp_bench.generation.sampling import Sampler, parts_of, quantised
from aptp_bench.models import mixture as mixtures
from aptp_bench.models.mixture import Mixture
from aptp_bench.models.pipelines import assembled
from aptp_bench.models.stable_diffusion import MiniSD
from aptp_bench.serving import steps
from aptp_bench.serving.pipeline import RoutedPipeline
from tests.conftest import narrow

PROMPTS = ["a dog", "two birds in the sky", "pizza", "a red car", "a cat!", "an apple on a table", "trains", "a man"]
PROMPTS_OF = [sum(len(prompt) % 3 == expert for prompt in PROMPTS) for expert in range(3)]
STEPS = {"num_inference_steps": 3}


@pytest.fixture
def by_length(router_by: Any, register: Any) -> Any:
    kind = router_by(lambda prompt: len(prompt) % 3)
    register("routers", kind.name, kind)
    return kind()


@pytest.fixture
def mixture(narrowed: Callable[[float], Any], by_length: Any) -> Mixture:
    return Mixture([narrowed(share) for share in (0.3, 0.6, 0.9)], by_length)


@pytest.fixture
def pipe(small_sd: Any, mixture: Mixture) -> RoutedPipeline:
    parts = copy.deepcopy(parts_of(small_sd))  # a pipeline moves its parts in place, and these are every test's
    made = RoutedPipeline(**parts, mixture=mixture)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture
def saved(pipe: RoutedPipeline, tmp_path: Path) -> Path:
    pipe.save_pretrained(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def opened(folder: Path, **settings: Any) -> RoutedPipeline:
    made = RoutedPipeline.from_pretrained(folder, **settings)
    made.set_progress_bar_config(disable=True)
    return made


def latents(pipe: RoutedPipeline, prompts: Sequence[str], **settings: Any) -> Tensor:
    return pipe(prompts, output_type="latent", **{**STEPS, **settings}).images


def test_it_is_named_by_the_package_and_by_diffusers(pipe):
    assert aptp_bench.RoutedPipeline is RoutedPipeline
    assert set(pipe.components) == {"vae", "text_encoder", "tokenizer", "scheduler", "mixture"}
    with pytest.raises(AttributeError, match="no attribute 'RoutedPipelines'"):
        aptp_bench.RoutedPipelines  # noqa: B018


def test_images_come_back_in_the_order_of_the_prompts(pipe, small_sd, mixture):
    made = pipe(PROMPTS, output_type="pt", seed=5, **STEPS)
    assert made.experts.tolist() == [len(prompt) % 3 for prompt in PROMPTS] and made.experts.dtype == torch.int64
    sampler = Sampler.of(small_sd, SamplingConfig(steps=3), 5)
    for i, prompt in enumerate(PROMPTS):
        with torch.inference_mode():
            alone = sampler.draw(mixture.experts[len(prompt) % 3], [prompt], [i])
        assert (quantised(made.images)[i].int() - alone[0].int()).abs().max() <= 1


def mini_mixture(router: Any) -> RoutedPipeline:
    """The embedded model, cut to three widths."""
    teacher = MiniSD().load()
    made = RoutedPipeline.of(teacher, Mixture([narrow(teacher.unet, share) for share in (0.35, 0.6, 0.9)], router))
    made.set_progress_bar_config(disable=True)
    return made


def test_an_image_is_bit_for_bit_the_same_in_a_batch_and_alone(by_length):
    pipe = mini_mixture(by_length)
    prompts = PROMPTS[1:6]
    both = latents(pipe, prompts, num_inference_steps=2)
    assert sorted(pipe.mixture.route(prompts).tolist()) == [0, 0, 1, 2, 2]
    for i, prompt in enumerate(prompts):
        assert torch.equal(latents(pipe, prompt, indices=[i], num_inference_steps=2)[0], both[i])
    assert torch.equal(latents(pipe, prompts, batch_size=2, num_inference_steps=2), both)


def test_without_it_a_batch_is_rounded_otherwise_and_the_image_is_the_same(pipe):
    exact, quick = (latents(pipe.to(torch.float64), PROMPTS, exact=exact) for exact in (True, False))
    assert not torch.equal(exact, quick) and torch.allclose(exact, quick, atol=1e-9)


def test_noise_is_of_seed_and_index_or_given(pipe):
    first = latents(pipe, PROMPTS[:3])
    assert not torch.equal(first, latents(pipe, PROMPTS[:3], seed=1))
    assert torch.equal(first[2:], latents(pipe, PROMPTS[2], indices=[2]))
    noise = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    given = latents(pipe, PROMPTS[:3], latents=noise)
    assert torch.equal(given[1:], latents(pipe, PROMPTS[1:3], latents=noise[1:]))


def test_a_prompts_images_are_numbered_and_its_first_is_that_of_a_prompt_with_one(pipe):
    three = pipe(PROMPTS[:2], num_images_per_prompt=3, output_type="latent", **STEPS)
    assert three.experts.tolist() == [len(prompt) % 3 for prompt in PROMPTS[:2] for _ in range(3)]
    one, two = latents(pipe, PROMPTS[:2]), latents(pipe, PROMPTS[1], indices=[1], num_images_per_prompt=2)
    assert torch.equal(three.images[::3], one) and torch.equal(three.images[3:5], two)
    assert len({image.sum().item() for image in three.images}) == 6


@pytest.mark.parametrize("each", [False, True])
def test_a_generator_draws_the_noise_that_diffusers_draws(small_sd, each):
    def drawn() -> Any:
        made = [torch.Generator().manual_seed(seed) for seed in range(4)]
        return made if each else made[0]

    ours = RoutedPipeline.of(copy.deepcopy(small_sd), Mixture.of_one(small_sd.unet))
    theirs = assembled(small_sd.unet, parts_of(small_sd))
    asked = {"num_images_per_prompt": 2, "output_type": "latent", "guidance_scale": 3.0, **STEPS}
    found = ours(PROMPTS[:2], generator=drawn(), exact=False, **asked).images
    torch.testing.assert_close(found, theirs(PROMPTS[:2], generator=drawn(), **asked).images, atol=1e-5, rtol=1e-4)


def test_a_callback_sees_every_step_of_every_batch_and_may_change_latents(pipe):
    seen = []

    def watch(batch: Any, step: int, timestep: Any, given: dict[str, Any]) -> dict[str, Any]:
        seen.append((len(given["latents"]), step, batch.num_timesteps))
        return given

    plain = latents(pipe, PROMPTS)
    assert torch.equal(latents(pipe, PROMPTS, callback_on_step_end=watch), plain)
    served = [PROMPTS_OF[expert] for expert in range(3) if PROMPTS_OF[expert]]
    assert sorted(seen) == sorted((n, step, 4) for n in served for step in range(4))  # PNDM makes one call more
    zeros = latents(pipe, PROMPTS[:2], callback_on_step_end=lambda *given: {"latents": 0 * given[-1]["latents"]})
    assert not zeros.any()


def test_a_callback_that_gives_nothing_back_is_told_what_to_return(pipe):
    with pytest.raises(ConfigError, match="gave back a NoneType; return the dictionary"):
        pipe(PROMPTS[:2], callback_on_step_end=lambda *_: None, **STEPS)


def test_diffusers_own_callbacks_work(pipe):
    cut_off = SDCFGCutoffCallback(cutoff_step_ratio=None, cutoff_step_index=1)
    changed = latents(pipe, PROMPTS[:2], callback_on_step_end=cut_off, batch_size=1)  # it keeps one prompt's text
    assert changed.isfinite().all() and not torch.equal(changed, latents(pipe, PROMPTS[:2]))


def test_an_interrupt_in_one_batch_stops_all(pipe):
    seen = []

    def stop(batch: Any, step: int, timestep: Any, given: dict[str, Any]) -> dict[str, Any]:
        seen.append(step)
        batch._interrupt = True
        return given

    latents(pipe, PROMPTS, callback_on_step_end=stop, num_inference_steps=5, batch_size=4)
    assert set(seen) == {0} and pipe.interrupt
    latents(pipe, PROMPTS[:1], callback_on_step_end=lambda *given: given[-1])
    assert not pipe.interrupt


def test_offloaded_models_make_the_same_images_and_come_back(saved, pipe, monkeypatch):
    want, lazy = latents(pipe, PROMPTS), opened(saved, held=3)
    lazy.enable_model_cpu_offload(device="cpu")
    moved = []
    real = steps.cpu_offload_with_hook
    monkeypatch.setattr(steps, "cpu_offload_with_hook", lambda unet, *a, **k: moved.append(unet) or real(unet, *a, **k))
    assert torch.equal(latents(lazy, PROMPTS), want) and torch.equal(latents(lazy, PROMPTS), want)
    assert len(moved) == 6 and len({id(unet) for unet in moved}) == 3  # nothing is read again after a call
    assert not any(hasattr(unet, "_hf_hook") for unet in moved) and hasattr(lazy.vae, "_hf_hook")
    assert not any(p.is_inference() for p in lazy.vae.parameters())
    lazy.remove_all_hooks()
    assert torch.equal(latents(lazy, PROMPTS), want)


def test_settings_reach_the_sampler(pipe):
    plain = latents(pipe, PROMPTS[:2])
    for other in ({"guidance_scale": 1.0}, {"negative_prompt": "a dog"}, {"num_inference_steps": 4}):
        assert not torch.equal(plain, latents(pipe, PROMPTS[:2], **other))
    mixed = latents(pipe, PROMPTS[:2], negative_prompt=["", "a dog"])
    assert torch.equal(mixed[0], plain[0]) and not torch.equal(mixed[1], plain[1])
    assert latents(pipe, PROMPTS[0], height=48, width=64).shape == (1, 4, 12, 16)


def test_output_types_show_the_same_images(pipe):
    made = {kind: pipe(PROMPTS[:2], output_type=kind, **STEPS).images for kind in ("pil", "pt", "np")}
    assert made["pt"].shape == (2, 3, 32, 32) and made["np"].shape == (2, 32, 32, 3)
    assert np.array_equal(made["np"], made["pt"].permute(0, 2, 3, 1).numpy())
    assert np.array_equal(np.stack([np.asarray(image) for image in made["pil"]]), quantised(made["pt"]).numpy())
    images, experts = pipe(PROMPTS[:2], output_type="pt", return_dict=False, **STEPS)
    assert torch.equal(images, made["pt"]) and experts.tolist() == [2, 2]


def test_a_saved_pipeline_gives_the_same_images(pipe, saved):
    assert torch.equal(latents(opened(saved), PROMPTS), latents(pipe, PROMPTS))
    files = {path.relative_to(saved).as_posix() for path in saved.rglob("*") if path.is_file()}
    assert {"model_index.json", "mixture/mixture.json", "vae/diffusion_pytorch_model.safetensors"} <= files
    assert {Path(file).suffix for file in files} <= {".json", ".safetensors", ".txt", ".md"}
    index = json.loads((saved / "model_index.json").read_text())
    assert index["_class_name"] == "RoutedPipeline" and index["vae"] == ["diffusers", "AutoencoderKL"]
    assert [path.name for path in saved.parent.iterdir()] == ["pipeline"]


def test_words_of_diffusers_are_taken_where_they_ask_for_what_is_done_anyway(
    pipe: RoutedPipeline, tmp_path: Path
) -> None:
    pipe.save_pretrained(tmp_path / "p", safe_serialization=True, push_to_hub=False, variant=None)
    for word in ("dtype", "torch_dtype"):
        made = RoutedPipeline.from_pretrained(tmp_path / "p", use_safetensors=True, **{word: torch.bfloat16})
        assert made.dtype == made.mixture.experts[0].dtype == torch.bfloat16
    assert RoutedPipeline.from_pretrained(tmp_path / "p", torch_dtype=None).dtype == torch.float32
    refused: list[tuple[dict[str, Any], str]] = [
        ({"variant": "fp16"}, "cannot do variant='fp16'; it takes device, dtype and held: leave variant out"),
        ({"use_safetensors": False}, "cannot do use_safetensors=False"),
        ({"dtype": torch.float16, "torch_dtype": torch.float32}, "give one of them"),
        ({"dtype": "float16"}, "dtype is 'float16'; give one of torch's"),
    ]
    for words, line in refused:
        with pytest.raises(ConfigError, match=line):
            RoutedPipeline.from_pretrained(tmp_path / "p", **words)
    with pytest.raises(ConfigError, match="cannot do safe_serialization=False; it writes safetensors"):
        pipe.save_pretrained(tmp_path / "other", safe_serialization=False)
    assert not (tmp_path / "other").exists()


def test_a_pipeline_is_made_of_anothers_parts(
    pipe: RoutedPipeline, saved: Path, small_sd: Any, mixture: Mixture
) -> None:
    read = opened(saved)
    again = RoutedPipeline.from_pipe(read)
    assert all(again.components[name] is part for name, part in read.components.items())
    assert torch.equal(latents(again, PROMPTS[:2]), latents(pipe, PROMPTS[:2]))
    again.to(torch.bfloat16)  # experts on disk follow
    assert again.mixture.experts[0].dtype == torch.bfloat16
    other = DDPMScheduler.from_config(pipe.scheduler.config)
    drawn = RoutedPipeline.from_pipe(pipe, scheduler=other)
    assert drawn.scheduler is other and pipe.scheduler is not other
    wrapped = RoutedPipeline.from_pipe(small_sd, mixture=mixture)
    assert wrapped.mixture is mixture and wrapped.vae is small_sd.vae and wrapped.scheduler is small_sd.scheduler
    for given, words, line in (
        (small_sd, {}, "has no mixture; name one"),
        (pipe, {"mixture": 1}, "a int is no Mixture"),
        (pipe, {"unet": 1}, "has no unet; its parts"),
    ):
        with pytest.raises(ConfigError, match=line):
            RoutedPipeline.from_pipe(given, **words)


def test_it_can_be_saved_over_itself_but_not_over_others(saved, tmp_path, small_sd):
    before = latents(opened(saved), PROMPTS[:3])
    opened(saved).save_pretrained(saved)
    assert torch.equal(latents(opened(saved), PROMPTS[:3]), before)
    small_sd.save_pretrained(tmp_path / "teacher")
    with pytest.raises(CheckpointError, match="holds other files"):
        opened(saved).save_pretrained(tmp_path / "teacher")
    assert (tmp_path / "teacher" / "unet").is_dir()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], weakref.WeakSet[Any]]:
    """Experts read so far, and those alive; a third alive at once with two held is found when it is read."""
    numbers: list[int] = []
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    real = mixtures.load_unet

    def spy(folder: Path, *rest: Any) -> Any:
        gc.collect()
        assert len(alive) < 2
        alive.add(unet := real(folder, *rest))
        numbers.append(int(folder.name[-2:]))
        return unet

    monkeypatch.setattr(mixtures, "load_unet", spy)
    return numbers, alive


def test_experts_are_read_when_asked_for_and_few_are_held(saved, read):
    numbers, alive = read
    lazy = opened(saved, held=2)
    assert numbers == []
    latents(lazy, ["a dog", "a cow"])
    assert numbers == [2]
    latents(lazy, PROMPTS)
    assert numbers == [2, 0, 1]  # the one in memory serves first
    gc.collect()
    assert len(alive) == 2
    latents(lazy, ["pizza and", "a red car"])
    assert numbers == [2, 0, 1]


def test_it_moves_as_diffusers_pipelines_do(saved, pipe):
    lazy = opened(saved, torch_dtype=torch.float64)
    assert lazy.dtype == torch.float64 and latents(lazy, PROMPTS[:2]).dtype == torch.float64
    assert lazy.to(torch.float32) is lazy and lazy.mixture.experts[0].dtype == torch.float32
    assert torch.equal(latents(lazy, PROMPTS), latents(pipe, PROMPTS))
    assert pipe.to("cpu", torch.float64).mixture.experts[1].dtype == torch.float64


def test_the_progress_bar_counts_prompts(pipe, capsys):
    pipe.set_progress_bar_config(disable=False, desc="drawing")
    latents(pipe, PROMPTS[:3])
    said = capsys.readouterr().err
    assert "drawing" in said and "3/3" in said


BAD = [
    ({"prompt": []}, "no prompt"),
    ({"prompt": ["a", 3]}, "int"),
    ({"latents": torch.zeros(2, 4, 8, 8)}, r"\[2, 4, 8, 8\].*\[3, 4, 8, 8\]"),
    ({"latents": torch.zeros(3, 4, 4, 4)}, r"\[3, 4, 8, 8\]"),
    ({"indices": [1]}, "1 indices for 3"),
    ({"negative_prompt": ["a", "b"]}, "2 negative prompts for 3"),
    ({"num_inference_steps": 0}, "steps"),
    ({"guidance_scale": -1.0}, "guidance"),
    ({"batch_size": 0}, "batches of 0"),
    ({"height": 33}, "33x32.*multiples of 8"),
    ({"output_type": "png"}, "pil, pt, np, latent"),
    ({"num_images_per_prompt": 0}, "num_images_per_prompt=1"),
    ({"num_images_per_prompt": 1.5}, "num_images_per_prompt is 1.5; give a whole number"),
    ({"prompt": None}, "there is no prompt"),
    ({"height": 32.0}, "height is 32.0; give a whole number"),
    ({"num_inference_steps": 2.5}, "num_inference_steps is 2.5; give a whole number"),
    ({"guidance_scale": "7"}, "guidance_scale is '7'; give a number"),
    ({"generator": 3}, "generator is 3; give a list"),
    ({"generator": [1, 2, 3]}, "none of torch's; give torch.Generator"),
    ({"indices": 1}, "indices is 1; give a list"),
    ({"generator": [torch.Generator()]}, "1 generators for 3 images"),
    ({"generator": torch.Generator(), "indices": [0, 1, 2]}, "leave out them or the generator"),
    ({"callback_on_step_end": print, "callback_on_step_end_tensor_inputs": ["image"]}, "tensor 'image'.*latents"),
    ({"callback_on_step_end": 3}, "callback_on_step_end is 3; give a function"),
    ({"seed": 1.5}, "seed is 1.5; give a whole number"),
    ({"seed": -1}, "seed is -1; give 0 or more"),
    ({"indices": [0, 1, -2]}, "an index is -2"),
    ({"latents": np.zeros((3, 4, 8, 8))}, "latents are a ndarray; give a tensor"),
    ({"latents": torch.zeros(3, 4, 8, 8, dtype=torch.int64)}, "latents are torch.int64"),
    ({"prompt": {"a dog": 1}}, "the prompt is .*; give a list"),
    ({"prompt": ["a", "b", "\ud800"]}, "holds what is no character"),
    ({"negative_prompt": 3}, "the negative prompt is 3; give a list"),
    ({"exact": "no"}, "exact is 'no'"),
]


def test_bad_input_is_refused_in_one_line_before_any_work(pipe, monkeypatch):
    monkeypatch.setattr(pipe.text_encoder, "forward", lambda *_, **__: pytest.fail("work was begun"))
    for given, line in BAD:
        with pytest.raises(ConfigError, match=line) as caught:
            pipe(**{"prompt": PROMPTS[:3], **given})
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [LCMScheduler, DDPMScheduler])
def test_what_a_scheduler_draws_at_its_steps_is_each_images_own(pipe: RoutedPipeline, kind: Any) -> None:
    pipe.scheduler = kind.from_config(pipe.scheduler.config, clip_sample=False)
    settings = {"num_inference_steps": 3, "output_type": "latent"}
    want = pipe(PROMPTS, **settings).images
    torch.rand(3)  # the global generator decides nothing
    assert torch.equal(pipe(PROMPTS, batch_size=1, **settings).images, want)
    assert torch.equal(pipe(PROMPTS[2], indices=[2], **settings).images[0], want[2])
    several = [pipe(PROMPTS[:4], generator=torch.Generator().manual_seed(0), **settings).images for _ in range(2)]
    assert torch.equal(*several)


@pytest.mark.parametrize("each", [False, True])
def test_a_scheduler_that_draws_draws_as_in_diffusers(small_sd: Any, each: bool) -> None:
    def drawn() -> Any:
        return [torch.Generator().manual_seed(i) for i in range(2)] if each else torch.Generator().manual_seed(0)

    ours = RoutedPipeline.of(copy.deepcopy(small_sd), Mixture.of_one(small_sd.unet))
    ours.scheduler = LCMScheduler.from_config(ours.scheduler.config)
    stock = assembled(small_sd.unet, ours.parts)
    settings = {"num_inference_steps": 3, "guidance_scale": 3.0, "output_type": "latent"}
    want = stock(PROMPTS[:2], generator=drawn(), **settings).images
    assert torch.equal(ours(PROMPTS[:2], generator=drawn(), exact=False, **settings).images, want)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_scheduler_that_is_set_is_followed_as_in_diffusers(small_sd: Any) -> None:
    """Diffusers changes some of its settings, such as clip_sample, where a pipeline is made, and not where one is set."""
    ours = RoutedPipeline.of(copy.deepcopy(small_sd), Mixture.of_one(small_sd.unet))
    stock = assembled(small_sd.unet, ours.parts)
    settings = {**STEPS, "output_type": "latent", "latents": torch.randn(1, 4, 8, 8) * 3}
    found = []
    for clip in (True, False):
        for pipeline in (ours, stock):
            pipeline.scheduler = DDIMScheduler.from_config(stock.scheduler.config, clip_sample=clip)
        found.append(ours(PROMPTS[0], exact=False, **settings).images)
        assert torch.equal(found[-1], stock(PROMPTS[0], **settings).images)
    assert not torch.equal(*found)


def test_a_number_without_its_name_is_refused(pipe: RoutedPipeline) -> None:
    """In diffusers' pipelines the second and the third are height and width."""
    with pytest.raises(TypeError):
        pipe("a dog", 64, 64)  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["pil", "pt", "np", "latent"])
def test_images_that_are_not_finite_are_an_error_of_whatever_type(pipe: RoutedPipeline, kind: Any) -> None:
    noise = torch.randn(2, 4, 8, 8)
    noise[1, 0, 0, 0] = float("nan")
    with pytest.raises(DataError, match="1 of 2 sampled images are not finite"):
        pipe(PROMPTS[:2], latents=noise, output_type=kind, **STEPS)


def test_what_cannot_be_served_is_said_at_once(small_sd: Any, mixture: Mixture) -> None:
    for given, line in (
        ((small_sd, small_sd.unet), r"UNet2DConditionModel is no Mixture; .*Mixture.of_one\(unet\)"),
        ((small_sd.unet, mixture), "UNet2DConditionModel is no pipeline"),
        ((small_sd, mixture, "euler"), "unknown scheduler 'euler'; take one of pndm, ddim"),
    ):
        with pytest.raises(ConfigError, match=line):
            RoutedPipeline.of(*given)


def test_experts_of_another_type_are_refused(small_sd, narrowed):
    other = RoutedPipeline.of(small_sd, Mixture.of_one(narrowed(0.5).to(torch.float64)))
    with pytest.raises(ConfigError, match=r"expert 0 is torch.float64 .*call pipeline.to\(device, dtype\)"):
        other("a dog")


def test_broken_folders_are_refused(saved, tmp_path, small_sd):
    with pytest.raises(WeightsError, match="there is no pipeline in"):
        RoutedPipeline.from_pretrained(tmp_path / "nowhere")
    small_sd.save_pretrained(tmp_path / "teacher")
    with pytest.raises(WeightsError, match="holds a StableDiffusionPipeline"):
        RoutedPipeline.from_pretrained(tmp_path / "teacher")
    with pytest.raises(ConfigError, match="hold 1 or more"):
        RoutedPipeline.from_pretrained(saved, held=0)
    with pytest.raises(ConfigError, match=r"device 'gpu' cannot be used here \(.*\); use device cpu"):
        RoutedPipeline.from_pretrained(saved, device="gpu")
    with pytest.raises(ConfigError, match="torch_dtype is 'float16'; give one of torch's"):
        RoutedPipeline.from_pretrained(saved, torch_dtype="float16")
    (saved / "mixture" / "expert-01" / "model.safetensors").write_bytes(b"\0" * 9)
    broken = opened(saved)
    with pytest.raises(CheckpointError, match="expert-01"):
        latents(broken, PROMPTS)
    (saved / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(WeightsError, match="vae"):
        RoutedPipeline.from_pretrained(saved)


@pytest.mark.parametrize("part", ["vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_part_that_is_missing_is_named(saved: Path, part: str) -> None:
    shutil.rmtree(saved / part)
    with pytest.raises(WeightsError, match=f"{part} is missing"):
        opened(saved)


def as_older_releases_saved(folder: Path) -> None:
    """Take out what the index says of each part's files."""
    index = json.loads((folder / "model_index.json").read_text())
    del index["_digests"]
    (folder / "model_index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("part", ["vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_part_that_was_edited_is_refused(saved: Path, part: str) -> None:
    (saved / part / ".DS_Store").touch()
    opened(saved)
    path = next((saved / part).glob("*config.json"))
    path.write_text(path.read_text() + "\n")
    with pytest.raises(CheckpointError, match=f"{part} is not what was saved there.*; save the network again"):
        opened(saved)
    as_older_releases_saved(saved)
    opened(saved)


def test_what_was_changed_in_python_is_saved_as_it_is(saved: Path) -> None:
    pipe = opened(saved)
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    pipe.save_pretrained(saved)
    assert isinstance(opened(saved).scheduler, LCMScheduler)


def test_a_tokenizer_without_its_length_is_refused(saved: Path) -> None:
    as_older_releases_saved(saved)
    (saved / "tokenizer" / "tokenizer_config.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"tokenizer makes texts of 1e.30 tokens for an encoder of"):
        opened(saved)


def test_a_scheduler_of_other_networks_is_refused(saved: Path) -> None:
    as_older_releases_saved(saved)
    path = saved / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "prediction_type": "sample"}))
    with pytest.raises(WeightsError, match="sample"):
        opened(saved)
    path.write_text(json.dumps({**config, "num_train_timesteps": 10}))
    with pytest.raises(ConfigError, match="10"):
        opened(saved)(PROMPTS[:1], num_inference_steps=11)


def test_more_steps_than_the_diffusion_has_are_refused(pipe: RoutedPipeline) -> None:
    with pytest.raises(ConfigError, match="1000"):
        pipe(PROMPTS[:1], num_inference_steps=1001)
