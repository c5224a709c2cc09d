from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench.budget import Budget
from aptp_bench.core.progress import SilentProgress
from aptp_bench.errors import CheckpointError, ConfigError
from aptp_bench.models.mixture import ConstantRouter
from aptp_bench.serving.routing import CHUNK, Routes, routed, router_of, write_csv

PROMPTS = ["red cat", 'a "red" dog, big', "blue=cat", "red sky", "ä 日本"]


@pytest.fixture
def record(make_record: Any) -> Any:
    """Two experts, of half and of nine tenths of the MACs."""
    made = make_record("aptp")
    costs = [{name: round(ratio * macs.dense) for name, macs in made.macs.items()} for ratio in (0.5, 0.9)]
    experts = [made.experts[0].model_copy(update={"macs": macs}) for macs in costs]
    return made.model_copy(update={"experts": experts})


@pytest.fixture
def routes(record: Any) -> Routes:
    return Routes(PROMPTS, torch.tensor([1, 0, 1, 1, 0]), len(record.experts), record)


def test_a_row_says_a_prompts_expert_and_what_it_costs(routes: Routes) -> None:
    rows = list(routes.rows())
    assert [row["prompt"] for row in rows] == PROMPTS and [row["expert"] for row in rows] == [1, 0, 1, 1, 0]
    assert [row["macs_exact"] for row in rows] == pytest.approx([0.9, 0.5, 0.9, 0.9, 0.5], rel=1e-6)


def test_the_mean_is_weighed_by_the_prompts(routes: Routes) -> None:
    assert routes.mean("exact") == pytest.approx(0.6 * 0.9 + 0.4 * 0.5, rel=1e-6)


def test_the_table_counts_prompts_and_names_words(routes: Routes) -> None:
    cheap, dear = routes.experts_table(top=2)
    assert (cheap["prompts"], cheap["share"], dear["prompts"]) == (2, 0.4, 3)
    assert dear["words"] == ["cat", "red"] and len(cheap["words"]) == 2  # two captions have each
    assert len(routes.experts_table(top=1)[1]["words"]) == 1


def test_ratios_are_of_the_runs_convention_and_exact(routes: Routes) -> None:
    assert routes.conventions == ["exact"]
    what = routes.record.what.model_copy(update={"budget": Budget(ratio=0.78, convention="aptp")})
    other = Routes(PROMPTS, routes.experts, routes.size, routes.record.model_copy(update={"what": what}))
    assert other.conventions == ["aptp", "exact"]
    assert list(next(other.rows())) == ["prompt", "expert", "macs_aptp", "macs_exact"]


def test_a_csv_reads_back_whatever_the_prompts_say(routes: Routes, tmp_path: Path) -> None:
    write_csv(routes, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["prompt"] for row in rows] == PROMPTS and [int(row["expert"]) for row in rows] == [1, 0, 1, 1, 0]
    assert [float(row["macs_exact"]) for row in rows] == [row["macs_exact"] for row in routes.rows()]


def test_many_prompts_are_routed_in_chunks_and_in_order(record: Any, router_by: Any) -> None:
    seen: list[int] = []
    by_number = router_by(lambda prompt: int(prompt) % 2)()
    prompts = [str(i) for i in range(CHUNK + 5)]
    found = routed(
        lambda chunk: seen.append(len(chunk)) or by_number(chunk),
        prompts,
        len(record.experts),
        SilentProgress(),
        record,
    )
    assert seen == [CHUNK, 5] and found.experts.tolist() == [i % 2 for i in range(CHUNK + 5)]


def test_no_prompt_and_a_router_of_another_record_are_errors(record: Any) -> None:
    with pytest.raises(ConfigError, match="there is no prompt; give --prompt"):
        routed(ConstantRouter(), [], 2, SilentProgress())
    with pytest.raises(CheckpointError, match="not over the mixture's 2 experts"):
        routed(ConstantRouter(2), ["a"], 2, SilentProgress())


def test_a_runs_own_prompts_go_where_they_went(finished: Any) -> None:
    from aptp_bench.reporting.figures.facts import facts_of

    facts = facts_of(finished("aptp"))
    found = routed(router_of(facts.run.mixture), facts.captions(), 3, SilentProgress(), facts.record)
    assert found.experts.tolist() == facts.assignment()
    assert found.mean("exact") == pytest.approx(facts.record.macs["exact"].ratio)
