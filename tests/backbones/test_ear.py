"""The mini ear: shapes, what it is blind to and what not, saving and loading."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from aptp_bench.backbones.ear import MiniEar, seen
from aptp_bench.errors import WeightsError

HEADS = {"kind": 5, "pitch": 7}


@pytest.fixture
def net() -> MiniEar:
    torch.manual_seed(0)
    return MiniEar(HEADS, width=16).eval()


def test_what_is_seen_is_within_one() -> None:
    found = seen(torch.tensor([[[0, 255], [51, 204]]], dtype=torch.uint8))
    assert found.shape == (1, 1, 2, 2)
    assert found.flatten().tolist() == pytest.approx([-1, 1, -0.6, 0.6])


def test_features_and_the_logits_of_every_label(net: MiniEar) -> None:
    x = torch.rand(3, 1, 64, 64)
    assert net.pool(x).shape == (3, 16)
    assert {name: tuple(each.shape) for name, each in net.classify(x).items()} == {"kind": (3, 5), "pitch": (3, 7)}
    found = net(x)
    assert torch.equal(found["pool"], net.pool(x)) and torch.equal(found["logits"], net.classify(x)["kind"])


def test_where_in_frequency_matters_and_where_in_time_does_not(net: MiniEar) -> None:
    net.features = torch.nn.Identity()
    maps = torch.rand(2, 128, 4, 4)  # channels, frequencies, times
    later, higher = torch.roll(maps, 1, 3), torch.roll(maps, 1, 2)
    assert torch.allclose(net.pool(later), net.pool(maps), atol=1e-6)
    assert not torch.allclose(net.pool(higher), net.pool(maps), atol=1e-2)


def test_saved_is_loaded_in_half_precision(net: MiniEar, tmp_path: Path) -> None:
    net.save(tmp_path)
    again = MiniEar.load(tmp_path)
    x = torch.rand(2, 1, 64, 64)
    assert again.config == net.config and not again.training
    assert torch.allclose(again.pool(x), net.pool(x), atol=2e-2)
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(WeightsError, match="no readable ear"):
        MiniEar.load(tmp_path)
