from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aptp_bench.core.progress import SilentProgress
from aptp_bench.models import checkpoint
from aptp_bench.models.mixture import Mixture
from aptp_bench.pruning.macs import count, example_inputs
from aptp_bench.reporting.figures import blocks
from aptp_bench.reporting.figures.facts import facts_of


def test_a_cell_is_the_blocks_macs_over_the_dense_blocks(finished: Any, tiny: Any) -> None:
    facts = facts_of(finished("aptp"))
    found = blocks.kept(facts, SilentProgress())
    dense = count(tiny.unet, example_inputs(tiny.unet, 4, 77), "exact")
    experts = Mixture.load(facts.run.mixture).experts  # with their weights
    for place, unet in enumerate(experts):
        own = count(unet, example_inputs(unet, 4, 77), "exact")
        assert {p: shares[place] for p, shares in found.items()} == {p: own.under(p) / dense.under(p) for p in found}
    assert min(min(shares) for shares in found.values()) < 1.0


def test_it_is_what_the_search_itself_says_of_its_experts(finished: Any) -> None:
    """Two routes: counted on the saved networks, and the search's differentiable cost of the gates that it cut by."""
    facts = facts_of(finished("aptp"))
    found = blocks.kept(facts, SilentProgress())
    told = [expert.blocks for expert in facts.router.report.experts]
    assert told[0]
    for path in told[0]:
        assert found[path] == pytest.approx([expert[path] for expert in told])


def test_blocks_come_in_the_order_of_the_work_without_first_and_last_convolution(finished: Any) -> None:
    found = list(blocks.kept(facts_of(finished("norm")), SilentProgress()))
    assert found[:3] == ["down_blocks.0.resnets.0", "down_blocks.0.attentions.0", "down_blocks.0.downsamplers.0"]
    first_up = next(i for i, path in enumerate(found) if path.startswith("up_blocks"))
    assert found[first_up - 3 : first_up] == ["mid_block.resnets.0", "mid_block.attentions.0", "mid_block.resnets.1"]
    assert not [path for path in found if "conv_" in path or "time" in path]


def test_no_weights_are_read(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = facts_of(finished("norm"))
    monkeypatch.setattr(checkpoint, "load_file", lambda *_, **__: pytest.fail("weights were read"))
    assert len(blocks.kept(facts, SilentProgress())["mid_block.resnets.0"]) == 1


def test_a_map_prints_every_share_in_its_tone() -> None:
    found = {"down_blocks.0.resnets.0": [0.25, 1.0], "mid_block.attentions.0": [0.0, 0.5]}
    axes, bar = blocks.heat_map(found, [0.6, 0.9], "mini world", "exact").axes
    cells = axes.collections[0].get_array().reshape(2, 2)
    assert np.allclose(cells, [[0.25, 0.0], [1.0, 0.5]])
    printed = [text.get_text() for text in axes.texts if text.get_text() not in ("down 0", "mid")]
    assert printed == [".25", "0", "1", ".50"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0 (0.600)", "1 (0.900)"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["R0", "T0"]
    assert axes.collections[0].get_clim() == (0.0, 1.0)
    assert "exact" in bar.get_ylabel() and axes.get_xlabel() and axes.get_ylabel()


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0"), (0.004, "0"), (0.5, ".50"), (0.996, "1"), (1, "1"), (1.25, "1.25")]
)
def test_shares_are_printed_short(share: float, text: str) -> None:
    assert blocks.cell(share) == text


def test_a_static_run_is_one_row_and_the_title_says_the_world(finished: Any) -> None:
    facts = facts_of(finished("norm"))
    axes = blocks.of_run(facts, SilentProgress()).axes[0]
    assert axes.collections[0].get_array().size == len(blocks.kept(facts, SilentProgress()))
    assert "mini world" in axes.get_title() and len(axes.get_yticks()) == 1


def test_a_layer_that_is_gone_keeps_nothing(finished: Any, monkeypatch: pytest.MonkeyPatch, tiny: Any) -> None:
    from aptp_bench.pruning.substitutes import SkipResnet
    from aptp_bench.pruning.surgery import meta_clone, substitute_

    facts = facts_of(finished("norm"))
    lacking = meta_clone(tiny.unet)
    substitute_(lacking, "mid_block.resnets.1", SkipResnet(16))
    monkeypatch.setattr(Mixture, "load", lambda *_, **__: Mixture.of_one(lacking))
    found = blocks.kept(facts, SilentProgress())
    assert found["mid_block.resnets.1"] == [0.0] and found["mid_block.resnets.0"] == [1.0]
