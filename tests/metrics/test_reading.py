from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from aptp_bench.errors import MetricError
from aptp_bench.metrics.reading import extractor, fakes_and_reals, finite, images_and_texts


def test_without_real_images_a_comparison_is_refused(given) -> None:
    with pytest.raises(MetricError, match="captions only"):
        fakes_and_reals(given(fake={"pool": torch.ones(3, 2)}), "inception", "pool")


def test_images_and_captions_must_be_as_many(given) -> None:
    evidence = given(fake={"embedding": torch.ones(3, 2)}, text=torch.ones(4, 2))
    with pytest.raises(MetricError, match="3 images for 4 captions"):
        images_and_texts(evidence, "clip_score")


def test_features_that_are_not_numbers_are_counted_and_refused() -> None:
    features = torch.ones(5, 3)
    features[1, 2] = torch.nan
    features[4] = torch.inf
    with pytest.raises(MetricError, match="2 of 5 generated images"):
        finite(features, "generated")
    with pytest.raises(MetricError, match="no real images"):
        finite(torch.ones(0, 3), "real")


def test_the_extractor_is_named_with_its_weights_and_its_resize(given) -> None:
    facts = extractor(given(fake={}), "inception")
    assert facts == {"backbone": "fake-net", "weights_sha256": "0" * 64, "resize": "none"}
    plain = SimpleNamespace(name="stranger", digest=lambda: "1")
    assert extractor(given(fake={}, network=plain), "inception")["resize"] == "unstated"
