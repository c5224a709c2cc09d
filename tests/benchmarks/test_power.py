from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aptp_bench import records
from aptp_bench.benchmarks.power import CLOSE, FIGURE, FOUND, OPEN, Spread, power
from aptp_bench.core.differences import LEVEL, Components, Difference, PairSpread
from aptp_bench.errors import ConfigError
from aptp_bench.harness import replicates

WORLD = Spread(value=4.0, prompt=0.6**2, seed=0.03**2, rest=0.9**2)


def test_with_the_prompts_that_it_asks_for_the_gap_is_found_as_often_as_it_says() -> None:
    gap, k = 0.02, 3
    n = WORLD.prompts(gap, k)
    assert n is not None
    rng, found = np.random.default_rng(0), 0
    for _ in range(300):
        d = gap * WORLD.value + 0.6 * rng.standard_normal((1, n)) + 0.03 * rng.standard_normal((k, 1))
        pair = Components.of(d + 0.9 * rng.standard_normal((k, n)))
        found += (
            Difference.of(pair, PairSpread(WORLD.seed + WORLD.rest / n, WORLD.rest / n, float("inf"), 1000)).p <= LEVEL
        )
    assert found / 300 == pytest.approx(FOUND, abs=0.07)


def test_more_seeds_larger_gaps_and_fewer_pairs_need_fewer_prompts() -> None:
    asked = [WORLD.prompts(0.05, k) for k in (1, 2, 3, 5)]
    assert asked == sorted(asked, reverse=True)
    assert WORLD.prompts(0.05, 3) < WORLD.prompts(0.05, 3, pairs=36) < WORLD.prompts(0.03, 3, pairs=36)
    assert WORLD.prompts(0.005, 1) is None  # less than what one seed does: no number of prompts helps


@pytest.fixture
def site(tmp_path: Path, make_record: Any) -> Path:
    """Three methods at two seeds, and docs with a block."""
    for place, method in enumerate("abc"):
        for seed in range(2):
            rng = np.random.default_rng([place, seed])
            own = tuple(np.random.default_rng(9).normal(3 + place / 9, 4, 512) + 0.1 * seed + rng.normal(0, 1, 512))
            record = make_record(method, seed, fid=(float(np.mean(own)), 2.5, 3.5))
            content, facts = replicates.packed({"fid": record.results["fid"].model_copy(update={"replicates": own})})
            path = records.save(record.model_copy(update={"replicates": facts}), tmp_path / "results")
            replicates.path_of(path).parent.mkdir(exist_ok=True)
            replicates.path_of(path).write_bytes(content)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "metrics.md").write_text(f"before\n{OPEN}\nold\n{CLOSE}\nafter\n", encoding="utf-8")
    return tmp_path


def test_it_fills_the_block_and_draws(site: Path) -> None:
    power(site / "results", site / "docs")
    text = (site / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "mini world" in text and "| 5%, first of 3 pairs |" in text and f"({FIGURE})" in text
    assert (site / "docs" / FIGURE).is_file()
    power(site / "results", site / "docs")
    assert (site / "docs" / "metrics.md").read_text(encoding="utf-8") == text


def test_without_replicates_or_a_block_it_says_so(site: Path) -> None:
    for file in (site / "results" / "replicates").iterdir():
        file.unlink()
    with pytest.raises(ConfigError, match="replicates of fid"):
        power(site / "results", site / "docs")
    (site / "docs" / "metrics.md").write_text("nothing", encoding="utf-8")
    with pytest.raises(ConfigError, match="no block"):
        power(site / "results", site / "docs")
