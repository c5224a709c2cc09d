from __future__ import annotations

import pytest
from torch import nn

from aptp_bench.profiling.alignment import alignment, all_widths, changed_widths, histogram


def test_only_changed_widths_count() -> None:
    dense = nn.Sequential(nn.Conv2d(3, 128, 1), nn.Linear(128, 128), nn.Linear(128, 10))
    pruned = nn.Sequential(nn.Conv2d(3, 64, 1), nn.Linear(64, 104), nn.Linear(104, 10))
    assert sorted(changed_widths(pruned, dense)) == [64, 64, 104, 104]
    assert alignment(pruned, dense) == {"pruned_widths": 4, "multiple_of_8": 1.0, "multiple_of_64": 0.5}


@pytest.mark.parametrize(("width", "share"), [(57, 0.0), (64, None)], ids=["fits no tile", "unpruned"])
def test_a_width_that_fits_no_tile_lowers_both_shares_and_an_unpruned_network_has_none(width, share) -> None:
    found = alignment(nn.Linear(width, 10), nn.Linear(64, 10))
    assert found == {"pruned_widths": int(width != 64), "multiple_of_8": share, "multiple_of_64": share}


def test_layers_that_the_dense_network_has_not_are_passed_over() -> None:
    assert list(changed_widths(nn.Sequential(nn.Linear(5, 5)), nn.Linear(7, 7))) == []


def test_heads_of_a_real_expert_are_whole(small_sd, narrowed) -> None:
    found = alignment(narrowed(0.75), small_sd.unet)
    assert found["pruned_widths"] > 0
    assert 0 <= found["multiple_of_64"] <= found["multiple_of_8"] <= 1


def test_a_histogram_files_each_width_under_its_largest_power_of_two() -> None:
    assert histogram([320, 64, 96, 48, 40, 4, 6, 7, 7]) == {64: 2, 32: 1, 16: 1, 8: 1, 4: 1, 2: 1, 1: 2}
    assert list(histogram([])) == [64, 32, 16, 8, 4, 2, 1]


def test_all_widths_are_inputs_and_outputs_of_layers() -> None:
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.GroupNorm(4, 16), nn.Linear(5, 7))
    assert sorted(all_widths(net)) == [3, 5, 7, 16]
