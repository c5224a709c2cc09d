from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from aptp_bench.backbones.fid_inception import MODES, FIDInception
from aptp_bench.errors import WeightsError


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Random weights that keep the signal alive to the last layer, in torch-fidelity's key layout."""
    torch.manual_seed(0)
    with torch.device("meta"):
        skeleton = FIDInception()
    made = {}
    for name, like in skeleton.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue  # the published file has none
        fan = like[0].numel() if like.ndim > 1 else 1
        made[name] = torch.randn(like.shape) * (2 / fan) ** 0.5 if like.ndim > 1 else torch.rand(like.shape) + 0.5
    return made


@pytest.fixture(scope="module")
def file(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "model.safetensors"
    save_file(state, path)
    return path


def pictures(n: int = 2, size: int = 40) -> Tensor:
    return torch.randint(0, 256, (n, size, size, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def test_equals_torch_fidelity(state: dict[str, Tensor], file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    monkeypatch.setattr(theirs, "load_state_dict_from_url", lambda *_, **__: state)
    reference = theirs.FeatureExtractorInceptionV3("reference", ["2048", "logits_unbiased"])
    images = pictures()
    pool, logits = reference(images.permute(0, 3, 1, 2).contiguous())
    with torch.inference_mode():
        ours = FIDInception.load(file)(MODES["legacy_tensorflow"](images))
    assert ours["pool"].std() > 0
    assert torch.allclose(ours["pool"], pool, rtol=1e-4, atol=1e-5)
    assert torch.allclose(ours["logits"], logits, rtol=1e-4, atol=1e-4)


def test_a_folder_or_the_file_itself_loads_frozen(file: Path) -> None:
    network = FIDInception.load(file.parent)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


def test_another_network_is_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file({k: v for k, v in state.items() if k != "fc.weight"}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="2015-12-05") as caught:
        FIDInception.load(tmp_path)
    assert "\n" not in str(caught.value)
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(WeightsError):
        FIDInception.load(tmp_path)


@pytest.mark.parametrize("mode", MODES)
def test_modes_give_the_range_and_size_of_the_network(mode: str) -> None:
    x = MODES[mode](pictures())
    assert x.shape == (2, 3, 299, 299)
    assert -1 <= x.min() < -0.9
    assert 0.9 < x.max() <= 1
    flat = torch.full((1, 40, 40, 3), 255, dtype=torch.uint8)
    top = 1.0 if mode == "legacy_pytorch" else 127 / 128
    assert torch.allclose(MODES[mode](flat), torch.tensor(top))


def test_modes_are_three_different_things() -> None:
    made = [MODES[mode](pictures()) for mode in MODES]
    assert len(made) == 3 and all((a - b).abs().max() > 0.01 for a, b in combinations(made, 2))


def test_every_tensor_of_the_file_is_taken_and_only_counters_may_be_missing(
    state: dict[str, Tensor], file: Path
) -> None:
    ours = FIDInception.load(file).state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in state.items())
    assert {name.rpartition(".")[2] for name in ours.keys() - state.keys()} == {"num_batches_tracked"}
