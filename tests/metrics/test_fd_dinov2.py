"""FD-DINOv2 is FID's distance on another network's features; that network is DINOv2 as transformers has it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench.backbones.dinov2 import MEAN, SIZE, STD, DINOv2Large
from aptp_bench.contracts.evidence import Evidence, ImageSet
from aptp_bench.core.blocks import Named, Reading, uncached
from aptp_bench.errors import MetricError
from aptp_bench.metrics import fid
from aptp_bench.metrics.fd_dinov2 import FDDINOv2
from aptp_bench.metrics.fid import FID, frechet_distance


class Drawn(ImageSet):
    """Noise of one seed."""

    def __init__(self, seed: int, size: int, edge: int = 40) -> None:
        self.digest, self.seed, self.size, self.edge = f"drawn-{seed}", seed, size, edge

    def __len__(self) -> int:
        return self.size

    def read(self, indices: range) -> torch.Tensor:
        drawn = torch.Generator().manual_seed(self.seed)
        return torch.randint(256, (self.size, self.edge, self.edge, 3), generator=drawn, dtype=torch.uint8)[
            list(indices)
        ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DINOv2 of one layer, saved as transformers saves it."""
    from transformers import Dinov2Config, Dinov2Model

    place = tmp_path_factory.mktemp("dino")
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 14}
    Dinov2Model(Dinov2Config(**sizes, image_size=SIZE)).save_pretrained(place)
    return place


def test_features_are_the_class_token_of_what_transformers_reads(folder: Path) -> None:
    from transformers import BitImageProcessor, Dinov2Model

    images = Drawn(1, 3, SIZE).read(range(3))
    processor = BitImageProcessor(do_resize=False, do_center_crop=False, image_mean=list(MEAN), image_std=list(STD))
    pixels = processor(list(images.numpy()), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        theirs = Dinov2Model.from_pretrained(folder).eval()(pixels).last_hidden_state[:, 0]
    ours = DINOv2Large(weights=str(folder), device="cpu").image_features(images)["pool"]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_it_is_the_distance_of_fid_with_an_interval(folder: Path) -> None:
    network = DINOv2Large(weights=str(folder), device="cpu")
    evidence = Evidence([], Drawn(1, 20), Drawn(2, 24), backbones={"dino": network})
    found = FDDINOv2()(evidence)
    fake, real = (each["pool"] for each in (evidence.features("dino"), evidence.real_features("dino")) if each)
    assert found.value == pytest.approx(frechet_distance(fake, real)[0], rel=1e-6) and found.interval is not None
    assert found.detail["backbone"] == "dinov2-large" and (found.unit, found.better) == (FID.unit, FID.better)


def test_what_is_known_of_the_reals_is_computed_once_for_all_networks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fid, "CHEAP", 8)  # so that 16 features are many
    kept: dict[str, Sequence[Any]] = {}
    again: list[str] = []

    def cache(names: Sequence[Named], reading: Reading) -> Sequence[Any]:
        asked = json.dumps(names)
        if asked in kept:
            again.append(names[0][0])
        return kept.setdefault(asked, () if asked in kept else uncached(names, reading))

    for seed in (1, 5):
        network = DINOv2Large(weights=str(folder), device="cpu")
        evidence = Evidence([], Drawn(seed, 20), Drawn(2, 24), backbones={"dino": network}, cache=cache)
        fake, real = (each["pool"] for each in (evidence.features("dino"), evidence.real_features("dino")) if each)
        found = FDDINOv2()(evidence)
        assert found.value == pytest.approx(frechet_distance(fake, real)[0], rel=1e-9) and found.interval is not None
    assert again == ["features-dinov2-large", "moments"]


def test_the_mini_world_has_none() -> None:
    with pytest.raises(MetricError, match="not in the mini world"):
        FDDINOv2()(Evidence([], Drawn(1, 4), Drawn(2, 4)))
