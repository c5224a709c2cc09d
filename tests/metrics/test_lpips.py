"""LPIPS against torchmetrics', on an AlexNet of random weights: the published ones are a download."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from aptp_bench.backbones.networks import LPIPSAlex
from aptp_bench.contracts.evidence import Evidence, Reference
from aptp_bench.core.noise import generator
from aptp_bench.errors import MetricError, WeightsError
from aptp_bench.generation.image_sets import Held
from aptp_bench.metrics.lpips import LPIPS
from aptp_bench.models import weights


def drawn(name: str, size: int = 64) -> torch.Tensor:
    return torch.randint(256, (3, size, size, 3), dtype=torch.uint8, generator=generator(name))


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """torchmetrics' metric on a random AlexNet, with the heads that it ships."""
    torch.manual_seed(0)
    network = torchvision.models.alexnet(weights=None)
    monkeypatch.setattr(torchvision.models, "alexnet", lambda weights=None: network)
    from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

    made = LearnedPerceptualImagePatchSimilarity("alex")
    monkeypatch.undo()
    return made


@pytest.fixture
def saved(theirs: torch.nn.Module, tmp_path: Path) -> Path:
    """Its state as the fix of the backbone saves it."""
    state = {k: v.clone() for k, v in theirs.net.state_dict().items() if k[:5] != "lins."}
    save_file(state, tmp_path / "model.safetensors")
    return tmp_path


def seen(images: torch.Tensor, others: torch.Tensor, network: LPIPSAlex) -> Evidence:
    reference = Reference(Held(others, "others"), "dense")
    return Evidence(["a"] * 3, Held(images, "images"), reference=reference, backbones={"perceptual": network})


def test_it_is_torchmetrics_distance(theirs, saved):
    images, others = drawn("a"), drawn("b")
    found = LPIPS()(seen(images, others, LPIPSAlex(weights=str(saved), device="cpu")))
    planes = [each.permute(0, 3, 1, 2).float() / 127.5 - 1 for each in (images, others)]
    assert found.value == pytest.approx(float(theirs(*planes)), rel=1e-4) and found.value > 0
    assert found.n == len(found.replicates) == 3 and found.better == "lower"
    assert found.detail["against"] == "dense" and len(found.detail["weights_sha256"]) == 64


def test_equal_images_are_at_no_distance(saved):
    images = drawn("a")
    assert LPIPS()(seen(images, images, LPIPSAlex(weights=str(saved), device="cpu"))).value == 0


def test_images_that_the_network_cannot_read_are_refused(saved):
    images = drawn("a", size=16)
    with pytest.raises(MetricError, match="31 pixels or more"):
        LPIPS()(seen(images, images, LPIPSAlex(weights=str(saved), device="cpu")))


def test_without_weights_it_says_what_to_do_and_fetches_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv(weights.HOME, str(tmp_path))
    assert "torchmetrics" in str(LPIPSAlex.unavailable())
    save_file({"net.slice1.0.bias": torch.zeros(64)}, tmp_path / "part.safetensors")
    with pytest.raises(WeightsError, match="no LPIPS network"):
        _ = LPIPSAlex(weights=str(tmp_path / "part.safetensors")).network
