from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel
from transformers.utils import logging

from aptp_bench.errors import WeightsError
from aptp_bench.models import weights

FILES = ("*.json", "model.safetensors")


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """No network, an empty home; what was asked of the hub, and whether it might have been fetched."""
    asked: list[tuple[str, bool]] = []

    def snapshot_download(hub_id: str, allow_patterns: list[str], local_files_only: bool) -> str:
        asked.append((hub_id, not local_files_only))
        if hub_id == "owner/cached":
            return str(tmp_path)
        raise FileNotFoundError(hub_id)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    monkeypatch.setenv(weights.HOME, str(tmp_path / "home"))
    monkeypatch.delenv(weights.ALLOW, raising=False)
    return asked


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    with weights.quiet():
        CLIPTextModel(config).half().save_pretrained(tmp_path / "text")
    return tmp_path / "text"


def test_a_folder_is_taken_as_it_is(tmp_path: Path, hub: list) -> None:
    assert weights.find("net", str(tmp_path), ("owner/net",), FILES) == tmp_path
    assert hub == []


def test_the_shared_folder_comes_before_the_hubs_cache(tmp_path: Path, hub: list) -> None:
    (tmp_path / "home" / "net").mkdir(parents=True)
    assert weights.find("net", None, ("owner/cached",), FILES) == tmp_path / "home" / "net"
    assert hub == []


def test_default_ids_are_tried_in_order_and_never_fetched_unasked(tmp_path: Path, hub: list) -> None:
    assert weights.find("net", None, ("owner/gone", "owner/cached"), FILES) == tmp_path
    assert hub == [("owner/gone", False), ("owner/cached", False)]


def test_default_ids_are_fetched_where_that_is_allowed(hub: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights.ALLOW, "1")
    weights.find("net", None, ("owner/cached",), FILES)
    assert hub == [("owner/cached", True)]


def test_a_hub_id_that_the_user_names_may_be_fetched(tmp_path: Path, hub: list) -> None:
    assert weights.find("net", "owner/cached", (), FILES) == tmp_path
    assert hub == [("owner/cached", True)]


@pytest.mark.parametrize("asked", [None, "./no/such/folder", "owner/gone"])
def test_what_is_missing_is_said_in_one_line_with_a_fix(asked: str | None) -> None:
    with pytest.raises(WeightsError) as caught:
        weights.find("net", asked, ("owner/gone",), FILES)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("net: ")
    assert "hf download owner/gone" in message or "give a" in message or "give an" in message


def test_networks_come_in_float32_eval_mode_and_frozen(saved: Path) -> None:
    network = weights.load(CLIPTextModel, saved)
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


def test_a_file_that_lacks_a_parameter_is_refused_not_filled_up(saved: Path) -> None:
    file = saved / "model.safetensors"
    state = load_file(file)
    lost = next(key for key in state if key.endswith("q_proj.weight"))
    save_file({key: value for key, value in state.items() if key != lost}, file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"1 wrong.*q_proj\.weight"):
        weights.load(CLIPTextModel, saved)


@pytest.mark.parametrize("broken", [b"", b"\x08\x00\x00\x00\x00\x00\x00\x00notjson!", "cut"])
def test_a_corrupt_file_is_one_line(saved: Path, broken: bytes | str) -> None:
    file = saved / "model.safetensors"
    file.write_bytes(file.read_bytes()[:500] if isinstance(broken, str) else broken)
    with pytest.raises(WeightsError, match="fetch or save it again") as caught:
        weights.load(CLIPTextModel, saved)
    assert "\n" not in str(caught.value)


def test_a_pickled_file_is_never_read(saved: Path) -> None:
    state = load_file(saved / "model.safetensors")
    (saved / "model.safetensors").unlink()
    torch.save(state, saved / "pytorch_model.bin")
    with pytest.raises(WeightsError):
        weights.load(CLIPTextModel, saved)


def test_the_digest_is_of_the_weights_alone(saved: Path) -> None:
    first = weights.digest(saved)
    (saved / "note.txt").write_text("hello")
    assert weights.digest(saved) == first
    file = saved / "model.safetensors"
    changed = bytearray(file.read_bytes())
    changed[-1] ^= 1
    file.write_bytes(bytes(changed))
    assert weights.digest(saved) != first
    assert weights.digest(file) == weights.digest(saved)


def test_a_folder_without_safetensors_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no safetensors"):
        weights.digest(tmp_path)


def test_quiet_puts_back_what_it_found(request: pytest.FixtureRequest) -> None:
    request.addfinalizer(partial(logging.set_verbosity, logging.get_verbosity()))
    logging.set_verbosity(logging.INFO)
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with pytest.raises(RuntimeError), weights.quiet():
        assert logging.get_verbosity() == logging.ERROR
        assert not logging.is_progress_bar_enabled()
        raise RuntimeError
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_weights_that_are_no_numbers_are_refused_not_converted(saved: Path) -> None:
    file = saved / "model.safetensors"
    whole = load_file(file)
    name = next(key for key, values in whole.items() if key.endswith("weight"))
    for odd, line in ((whole[name].view(torch.int16), "as I16"), (whole[name] / 0, "not finite, first in")):
        save_file({**whole, name: odd.contiguous()}, file, metadata={"format": "pt"})
        with pytest.raises(WeightsError, match=line):
            weights.load(CLIPTextModel, saved)
