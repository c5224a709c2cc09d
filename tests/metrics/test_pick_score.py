from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from aptp_bench.errors import MetricError
from aptp_bench.metrics.pick_score import PickScore


def test_is_the_cosine_times_the_learned_scale(given) -> None:
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    texts = torch.tensor([[0.6, 0.8], [0.6, 0.8]])
    found = PickScore()(given(fake={"embedding": images}, text=texts))
    assert found.value == pytest.approx(20 * 0.7)
    assert found.detail["logit_scale"] == 20
    assert found.interval == (pytest.approx(20 * 0.6), pytest.approx(20 * 0.8))


def test_is_measured_on_the_second_set_of_prompts() -> None:
    assert PickScore.on == "partiprompts"


def test_a_network_without_a_scale_is_refused(given) -> None:
    network = SimpleNamespace(name="x", digest=lambda: "0")
    with pytest.raises(MetricError, match="logit_scale"):
        PickScore()(given(fake={"embedding": torch.ones(2, 2)}, text=torch.ones(2, 2), network=network))
