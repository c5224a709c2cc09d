from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from aptp_bench import assets
from aptp_bench.errors import WeightsError
from aptp_bench.methods.aptp.encoder import PAPER, PromptEncoder, default


def test_prompts_become_rows_in_their_order_with_nothing_to_train(encoder: str) -> None:
    encode = PromptEncoder(encoder)
    z = encode(["a boat", "a cat", "a boat"])
    assert z.shape == (3, 16) and z.dtype == torch.float32 and z.device.type == "cpu"
    assert not z.requires_grad and torch.equal(z[0], z[2]) and not torch.equal(z[0], z[1])
    torch.testing.assert_close(z[1:2], encode(["a cat"]))


def test_the_digest_is_of_the_weights(encoder: str, tmp_path: Path, build_encoder: Callable[[Path], Path]) -> None:
    same = PromptEncoder(str(build_encoder(tmp_path)))
    assert PromptEncoder(encoder).digest() == same.digest()


def test_worlds_have_their_own_encoders() -> None:
    assert default("paper") == PAPER
    assert default("mini") == default("smoke") == "embedded:sentence_encoder"


def test_an_embedded_encoder_is_read_from_the_assets(encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "ROOT", Path(encoder).parent)
    embedded = PromptEncoder(f"embedded:{Path(encoder).name}")
    assert torch.equal(embedded(["a boat"]), PromptEncoder(encoder)(["a boat"]))
    assert embedded.digest() == PromptEncoder(encoder).digest()


def test_a_missing_encoder_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="folder where it lies"):
        PromptEncoder(str(tmp_path / "nowhere"))(["a boat"])
