"""Preprocessing against the libraries whose numbers we claim to match."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torch import Tensor

from aptp_bench.backbones.preprocess import Preprocess, bicubic, bicubic_float, bilinear, central, checked
from aptp_bench.errors import DataError, WeightsError

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def pictures(n: int = 2, height: int = 60, width: int = 80) -> Tensor:
    return torch.randint(0, 256, (n, height, width, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def clip_processor(**settings: object) -> object:
    kind = getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor
    return kind(**settings)


@pytest.mark.parametrize(("height", "width"), [(60, 80), (80, 60), (40, 40), (300, 257)])
def test_equals_transformers(height: int, width: int) -> None:
    images = pictures(2, height, width)
    theirs = clip_processor(size={"shortest_edge": 48}, crop_size={"height": 48, "width": 48})
    expected = theirs([Image.fromarray(image.numpy()) for image in images], return_tensors="pt")["pixel_values"]
    assert torch.allclose(Preprocess(48, 48, MEAN, STD)(images), expected, atol=1e-6)


def test_settings_are_read_from_what_transformers_saves(tmp_path: Path) -> None:
    clip_processor(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    assert Preprocess.read(tmp_path) == Preprocess(40, 32, MEAN, STD)


def test_older_configurations_have_plain_numbers(tmp_path: Path) -> None:
    old = {"size": 224, "crop_size": 224, "image_mean": MEAN, "image_std": STD}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(old))
    assert Preprocess.read(tmp_path, crop_first=True) == Preprocess(224, 224, MEAN, STD, crop_first=True)


@pytest.mark.parametrize("text", ["{", "{}", '{"size": 10, "crop_size": 20, "image_mean": [0], "image_std": [1]}'])
def test_a_broken_configuration_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(WeightsError, match="again"):
        Preprocess.read(tmp_path)


def test_no_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json"):
        Preprocess.read(tmp_path)


def test_cropping_first_differs_only_where_images_are_not_square() -> None:
    wide, square = pictures(1, 60, 90), pictures(1, 60, 60)
    first, last = Preprocess(48, 48, MEAN, STD, crop_first=True), Preprocess(48, 48, MEAN, STD)
    assert torch.equal(first(square), last(square))
    assert torch.equal(first(wide), last(central(wide, 60)))
    assert not torch.equal(first(wide), last(wide))


@pytest.mark.parametrize("mode", ["clean", "legacy_pytorch"])
def test_resizers_equal_clean_fids(mode: str) -> None:
    from cleanfid.resize import build_resizer

    images = pictures(2, 64, 50)
    with warnings.catch_warnings():  # its resizer switches all warnings off for good
        theirs = build_resizer(mode)
        expected = torch.from_numpy(np.stack([theirs(image.numpy()) for image in images])).permute(0, 3, 1, 2)
    ours = bicubic_float(images, 299) if mode == "clean" else bilinear(images, 299, 299)
    assert torch.allclose(ours, expected, atol=1e-3)


def test_images_of_the_right_size_are_untouched() -> None:
    images = pictures(1, 32, 32)
    assert bicubic(images, 32, 32) is images


@pytest.mark.parametrize("images", [torch.zeros(2, 4, 4, 3), torch.zeros(2, 3, 4, 4, dtype=torch.uint8)])
def test_only_8_bit_channels_last_is_taken(images: Tensor) -> None:
    with pytest.raises(DataError, match="uint8"):
        checked(images)
