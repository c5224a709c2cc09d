"""HPS v2.1 on a random CLIP of open_clip's own making: the published weights are a download."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

from aptp_bench import registry
from aptp_bench.backbones.hps import ARCHITECTURE, MEAN, PICKLED, STD, HPSv21, prepared
from aptp_bench.contracts.evidence import Evidence
from aptp_bench.core.noise import generator
from aptp_bench.errors import MetricError, WeightsError
from aptp_bench.evaluation.evaluate import measure
from aptp_bench.generation.image_sets import Held
from aptp_bench.metrics.hpsv2 import HPSv2
from aptp_bench.models import weights

pytestmark = pytest.mark.usefixtures("offline")
PROMPTS = ["a red boat", "An owl, at night", "a bowl of soup " * 20]
GEOMETRY: dict[str, Any] = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def clip() -> Any:
    torch.manual_seed(0)
    return open_clip.CLIP(**GEOMETRY).half().float().eval()


@pytest.fixture
def saved(clip: Any, tmp_path: Path) -> Path:
    """In float16, as the published file is, and in the format of open_clip."""
    save_file(
        {name: tensor.half().clone() for name, tensor in clip.state_dict().items()}, tmp_path / "model.safetensors"
    )
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": GEOMETRY, "preprocess_cfg": {}}))
    return tmp_path


def pictures(height: int = 64, width: int = 64) -> Tensor:
    return torch.randint(256, (3, height, width, 3), dtype=torch.uint8, generator=generator("hps"))


def authors(images: Tensor, size: int) -> Tensor:
    """As hpsv2/src/open_clip/transform.py lists its steps, from a Pillow image on."""
    steps = [ToTensor(), Resize(size, interpolation=InterpolationMode.BICUBIC), CenterCrop(size), Normalize(MEAN, STD)]
    return torch.stack([Compose(steps)(Image.fromarray(np.asarray(image))) for image in images])


@pytest.mark.parametrize("size", [(64, 64), (32, 32), (50, 41), (20, 33)])
def test_images_are_prepared_as_by_the_authors(size: tuple[int, int]) -> None:
    torch.testing.assert_close(prepared(pictures(*size), 32), authors(pictures(*size), 32))


def test_the_score_is_that_of_the_authors_code(clip: Any, saved: Path) -> None:
    network = HPSv21(weights=str(saved), device="cpu", batch=2)
    evidence = Evidence(PROMPTS, Held(pictures(), "images"), backbones={"hps": network})
    found = HPSv2()(evidence)
    with torch.no_grad():
        image, text, _ = clip(authors(pictures(), 32), open_clip.SimpleTokenizer(context_length=16)(PROMPTS))
    expected = 100 * (image @ text.T).diagonal()
    torch.testing.assert_close(torch.tensor(found.replicates), expected, rtol=1e-4, atol=1e-4)
    assert found.value == pytest.approx(float(expected.mean()), abs=1e-4)
    assert found.interval is not None and found.interval[0] < found.value < found.interval[1]
    assert found.n == 3 and found.detail["backbone"] == "hps-v2.1" and "0..1" in found.detail["resize"]
    assert found.detail["weights_sha256"] == weights.digest(saved)
    assert network.network.visual.conv1.weight.dtype == torch.float32


def test_the_published_network_is_open_clips(saved: Path) -> None:
    (saved / "open_clip_config.json").unlink()
    network = HPSv21(weights=str(saved), device="cpu")
    assert network.geometry == open_clip.get_model_config(ARCHITECTURE) and network.size == 224


def test_weights_that_lack_a_tensor_or_a_readable_configuration_are_refused(clip: Any, saved: Path) -> None:
    save_file({"logit_scale": torch.zeros(())}, saved / "model.safetensors")
    with pytest.raises(WeightsError, match="no such CLIP"):
        _ = HPSv21(weights=str(saved), device="cpu").network
    (saved / "open_clip_config.json").write_text("{}")
    with pytest.raises(WeightsError, match="no configuration of open_clip"):
        _ = HPSv21(weights=str(saved), device="cpu").network


def test_without_weights_it_says_what_to_do_and_fetches_nothing() -> None:
    reason = str(HPSv21.unavailable())
    assert "\n" not in reason and "weights_only=True" in reason and PICKLED in reason
    assert str(weights.home() / "hps-v2.1") in reason


def test_the_line_that_converts_the_authors_file_does(clip: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(weights.HOME, str(tmp_path))
    folder = tmp_path / "hps-v2.1"
    folder.mkdir()
    state = clip.half().state_dict()
    torch.save(
        {"state_dict": {**state, "text_projection": state["text_projection"].T.contiguous().T}}, folder / PICKLED
    )
    clip.float()
    line = str(HPSv21.fix()).partition('python -c "')[2].rstrip('"')
    exec(line, {})  # the line a user is told to paste
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": GEOMETRY}))
    assert HPSv21.unavailable() is None
    assert torch.equal(HPSv21(device="cpu").network.text_projection, clip.text_projection)


def test_it_is_not_in_the_mini_world_and_says_so() -> None:
    evidence = Evidence(PROMPTS, Held(pictures(), "images"), backbones={})
    with pytest.raises(MetricError, match="not in the mini world"):
        HPSv2()(evidence)
    _, skipped = measure([HPSv2()], {"partiprompts": evidence}, {})
    assert "--scale paper" in skipped["hpsv2"]


def test_it_is_measured_on_the_second_set_of_prompts_at_paper_scale() -> None:
    from aptp_bench import config

    assert HPSv2.on == "partiprompts" and registry.get("backbones", "hps-v2.1") is HPSv21
    for scale in ("mini", "smoke", "paper"):
        asked = SimpleNamespace(**config.preset(scale))
        assert ("hpsv2" in asked.metrics) == ("hps" in asked.backbones) == (scale == "paper")
