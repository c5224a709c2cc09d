from __future__ import annotations

import shutil
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

from aptp_bench import assets
from aptp_bench.backbones import fid_inception, inception
from aptp_bench.backbones.networks import (
    CLIPViTB32,
    CLIPViTL14At336,
    Inception2015,
    MiniCLIP,
    MiniInception,
    MiniPick,
    PickScoreV1,
)
from aptp_bench.errors import DataError, WeightsError
from aptp_bench.models import weights
from aptp_bench.models.stable_diffusion import byte_tokenizer
from aptp_bench.plugins import BackbonePlugin

TEXT_LENGTH = 16


pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP saved in float16 as the mini world's is."""
    folder = tmp_path_factory.mktemp("clip")
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**tower, "vocab_size": 514, "max_position_embeddings": TEXT_LENGTH}
    text |= {"bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513}
    config = CLIPConfig(text_config=text, vision_config={**tower, "image_size": 32, "patch_size": 8}, projection_dim=12)
    torch.manual_seed(0)
    with weights.quiet():
        CLIPModel(config).half().save_pretrained(folder)
        byte_tokenizer(TEXT_LENGTH).save_pretrained(folder)
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def pictures(n: int = 5, size: int = 40) -> Tensor:
    return torch.randint(0, 256, (n, size, size, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def test_embeddings_have_unit_length_and_do_not_depend_on_the_batch(clip: Path) -> None:
    one, many = MiniCLIP(weights=str(clip), batch=1), MiniCLIP(weights=str(clip), batch=4)
    found = one.image_features(pictures())["embedding"]
    assert found.shape == (5, 12)
    assert found.dtype == torch.float32
    assert torch.allclose(found.norm(dim=1), torch.ones(5))
    assert torch.allclose(found, many.image_features(pictures())["embedding"], atol=1e-6)
    captions = ["a", "a longer caption", "b", "c", "d"]
    texts = one.text_features(captions)
    assert torch.allclose(texts.norm(dim=1), torch.ones(5))
    assert torch.allclose(texts, many.text_features(captions), atol=1e-6)  # padding of the batch changes nothing


def test_embeddings_are_those_of_transformers(clip: Path) -> None:
    network = MiniCLIP(weights=str(clip))
    with weights.quiet():
        model = CLIPModel.from_pretrained(clip, dtype=torch.float32).eval()
    with torch.inference_mode():
        vision = model.vision_model(pixel_values=network.preprocess(pictures())).pooler_output
        expected = torch.nn.functional.normalize(model.visual_projection(vision), dim=-1)
    assert torch.allclose(network.image_features(pictures())["embedding"], expected, atol=1e-6)
    assert network.logit_scale == pytest.approx(float(model.logit_scale.detach().exp()))


def test_long_captions_are_cut_not_refused(clip: Path) -> None:
    network = MiniCLIP(weights=str(clip))
    short, long = "x " * (TEXT_LENGTH - 2), "x " * 500
    assert torch.allclose(network.text_features([short]), network.text_features([long]), atol=1e-6)


def test_nothing_to_read_is_an_error(clip: Path) -> None:
    network = MiniCLIP(weights=str(clip))
    with pytest.raises(DataError, match="nothing to read"):
        network.image_features(pictures(0))
    with pytest.raises(DataError, match="nothing to read"):
        network.text_features([])


def test_the_digest_tells_weights_apart_and_loads_no_network(clip: Path, tmp_path: Path) -> None:
    network = MiniCLIP(weights=str(clip))
    first = network.digest()
    assert "network" not in vars(network)
    other = shutil.copytree(clip, tmp_path / "other")
    changed = bytearray((other / "model.safetensors").read_bytes())
    changed[-1] ^= 1
    (other / "model.safetensors").write_bytes(bytes(changed))
    assert MiniCLIP(weights=str(other)).digest() != first
    assert MiniPick(weights=str(clip)).digest() == first


@pytest.mark.parametrize("kind", [CLIPViTB32, CLIPViTL14At336, PickScoreV1, Inception2015])
def test_paper_networks_without_weights_say_what_to_do(kind: type) -> None:
    reason = kind.unavailable()
    assert reason is not None
    assert "\n" not in reason
    assert "python -c" in reason
    assert str(weights.home() / kind.name) in reason
    assert ("curl" in reason and "weights_only=True" in reason) or "save_pretrained" in reason


@pytest.mark.parametrize("kind", [CLIPViTB32, CLIPViTL14At336, PickScoreV1])
def test_paper_networks_are_found_in_the_shared_folder(kind: type, clip: Path) -> None:
    shutil.copytree(clip, weights.home() / kind.name)
    assert kind.unavailable() is None
    network = kind()
    assert network.image_features(pictures(2))["embedding"].shape == (2, 12)
    assert network.preprocess.crop_first is (kind is CLIPViTL14At336)


def test_pickscore_takes_its_processor_from_elsewhere(clip: Path, tmp_path: Path) -> None:
    shutil.copytree(clip, weights.home() / "pickscore-v1-processor")
    (weights.home() / "pickscore-v1").mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(clip / name, weights.home() / "pickscore-v1" / name)
    assert PickScoreV1().text_features(["a"]).shape == (1, 12)
    shutil.rmtree(weights.home() / "pickscore-v1-processor")
    with pytest.raises(WeightsError, match="processor"):
        PickScoreV1().text_features(["a"])


def test_a_broken_tokenizer_is_one_line(clip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip, tmp_path / "broken")
    for file in folder.glob("*token*"):
        file.write_text("{")
    for file in (*folder.glob("vocab*"), *folder.glob("merges*")):
        file.unlink()
    with pytest.raises(WeightsError, match="tokenizer") as caught:
        MiniCLIP(weights=str(folder)).text_features(["a"])
    assert "\n" not in str(caught.value)


def test_embedded_networks_that_are_missing_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "ROOT", tmp_path)
    for kind in (MiniCLIP, MiniPick, MiniInception):
        assert "no weights" in kind.unavailable()


def test_the_mini_classifier_reads_images_of_any_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = inception.MiniInception({"subject": 7}).eval()
    net.save(tmp_path)
    network = MiniInception(weights=str(tmp_path), batch=2)
    found = network.image_features(pictures(3, 32))
    assert {name: value.shape for name, value in found.items()} == {"pool": (3, 192), "logits": (3, 7)}
    expected = inception.MiniInception.load(tmp_path)(pictures(3, 32).permute(0, 3, 1, 2) / 127.5 - 1)
    assert torch.allclose(found["pool"], expected["pool"], atol=1e-5)
    assert network.image_features(pictures(3, 64))["pool"].shape == (3, 192)
    with pytest.raises(NotImplementedError, match="images only"):
        network.text_features(["a"])


def test_the_fid_network_uses_its_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def load(path: Path) -> torch.nn.Module:
        class Net(torch.nn.Module):
            def forward(self, x: Tensor) -> dict[str, Tensor]:
                seen.append(x)
                return {"pool": x.mean((2, 3)), "logits": x.mean((2, 3))}

        return Net()

    monkeypatch.setattr(fid_inception.FIDInception, "load", load)
    (weights.home() / "inception-2015").mkdir(parents=True)
    for mode in ("legacy_pytorch", "clean", "legacy_tensorflow"):
        network = Inception2015(mode=mode)
        network.image_features(pictures(1))
        assert mode in network.resize
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], fid_inception.legacy_pytorch(pictures(1)))


def test_every_entry_point_of_ours_keeps_the_contract() -> None:
    found = {e.name: e.load() for e in entry_points(group="aptp_bench.backbones") if e.dist.name == "aptp-bench"}
    assert len(found) >= 7
    for name, kind in found.items():
        assert issubclass(kind, BackbonePlugin)
        assert kind.name == name
        assert set(kind.role) <= {"inception", "clip_score", "cmmd", "preference", "hps", "perceptual", "dino", "audio"}
        assert kind.world in ("mini", "paper")
        assert kind.summary()
