from __future__ import annotations

import pytest
import torch

from aptp_bench.metrics.clip_score import CLIPScore, agreement


def test_is_a_hundred_times_the_mean_cosine_of_pairs_without_clipping(given) -> None:
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    texts = torch.tensor([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]])
    found = CLIPScore()(given(fake={"embedding": images}, text=texts))
    assert found.value == pytest.approx(100 * (1 + 0.8 - 1) / 3)
    assert (found.n, found.better) == (3, "higher")


def test_pairs_are_rows_not_all_combinations() -> None:
    images, texts = torch.eye(4), torch.eye(4).roll(1, 0)
    assert agreement(images, images).tolist() == [1, 1, 1, 1]
    assert agreement(images, texts).tolist() == [0, 0, 0, 0]


def test_lengths_do_not_matter() -> None:
    x, y = torch.rand(5, 3), torch.rand(5, 3)
    assert torch.allclose(agreement(3 * x, 0.1 * y), agreement(x, y))


def test_the_interval_is_over_prompts(given) -> None:
    generator = torch.Generator().manual_seed(0)
    images, texts = torch.randn(200, 8, generator=generator), torch.randn(200, 8, generator=generator)
    found = CLIPScore()(given(fake={"embedding": images}, text=texts))
    spread = 100 * float(agreement(images, texts).std()) / 200**0.5
    assert found.interval[1] - found.interval[0] == pytest.approx(2 * 1.96 * spread, rel=0.15)
