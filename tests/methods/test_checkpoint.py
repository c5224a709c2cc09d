"""Published weights are measured as they are, held to a budget where one is given, and known by their digest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench import config
from aptp_bench.errors import BudgetError, CheckpointError, ConfigError, WeightsError
from aptp_bench.harness.run import run_each
from aptp_bench.methods.checkpoint import Checkpoint
from aptp_bench.models.checkpoint import save_unet
from aptp_bench.reporting.ranking.boards import boards
from aptp_bench.reporting.ranking.entries import Entry, subject
from aptp_bench.reporting.ranking.names import entry_title
from tests.conftest import narrow, tiny_pipeline

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The U-Net of `tiny` with half of its width."""
    place = tmp_path_factory.mktemp("weights") / "half"
    save_unet(narrow(tiny.unet, 0.5), place)
    return place


def test_without_a_budget_it_costs_what_it_costs(folder: Path, job: Any, left: Any) -> None:
    mixture = Checkpoint(folder=str(folder)).prune(job(1.0))
    (unet,) = mixture.experts
    assert left(unet, job()) < 0.9 and f"{left(unet, job()):.4f}" in mixture.remark and "half" in mixture.remark


def test_a_budget_is_an_upper_bound(folder: Path, job: Any, left: Any) -> None:
    own = left(Checkpoint(folder=str(folder)).prune(job(1.0)).experts[0], job())
    Checkpoint(folder=str(folder)).prune(job(round(own, 3)))
    with pytest.raises(BudgetError, match="leave out --budget"):
        Checkpoint(folder=str(folder)).prune(job(own - 0.1))


def test_what_costs_more_than_the_model_was_pruned_from_another(job: Any, tmp_path: Path) -> None:
    save_unet(tiny_pipeline(layers_per_block=3).unet, tmp_path / "larger")
    with pytest.raises(BudgetError, match="--model"):
        Checkpoint(folder=str(tmp_path / "larger")).prune(job(1.0))


def test_another_models_weights_are_refused(job: Any, tmp_path: Path) -> None:
    save_unet(tiny_pipeline(cross_attention_dim=32).unet, tmp_path / "other")
    with pytest.raises(CheckpointError, match="cross_attention_dim"):
        Checkpoint(folder=str(tmp_path / "other")).prune(job(1.0))


def test_weights_that_are_nowhere_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--set folder="):
        Checkpoint().check("smoke")
    with pytest.raises(WeightsError, match="nowhere"):
        Checkpoint(folder=str(tmp_path / "nowhere")).check("smoke")


@pytest.mark.parametrize(
    ("given", "called"),
    [
        ({"folder": "owner/bk-sdm-small"}, "bk-sdm-small"),
        ({"folder": "/a/b/"}, "b"),
        ({"folder": "owner/name", "subfolder": "arch3"}, "arch3"),
        ({"folder": "owner/name", "label": "ours"}, "ours"),
    ],
)
def test_weights_have_a_name(given: dict[str, str], called: str) -> None:
    assert Checkpoint(**given).config.label == called


def test_what_is_not_read_decides_nothing(folder: Path, tiny: Any, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "ours")
    tiny.unet.save_pretrained(tmp_path / "theirs")
    for place in (tmp_path / "ours", tmp_path / "theirs"):
        before = Checkpoint(folder=str(place)).digests("smoke")
        (place / "trainer_state.json").write_text("{}")
        (place / "optimizer.safetensors").write_bytes(b"moments")
        assert Checkpoint(folder=str(place)).digests("smoke") == before
        with (place / "config.json").open("a") as file:
            file.write(" ")
        assert Checkpoint(folder=str(place)).digests("smoke") != before


def with_settings(record: Any, *kept: str) -> Any:
    """The record as if only these of its settings were not the recipe's."""
    settings = tuple(each for each in record.what.settings if each.startswith(kept))
    return record.model_copy(update={"what": record.what.model_copy(update={"settings": settings})})


def test_a_run_of_published_weights_stands_beside_the_boards(
    tiny_run: Callable[..., Any], tmp_path: Path, store: Any
) -> None:
    whole = tiny_pipeline()
    save_unet(narrow(whole.unet, 0.5), tmp_path / "half")
    shutil.copytree(tmp_path / "half", tmp_path / "elsewhere" / "half")
    places = [tmp_path / "half", tmp_path / "elsewhere" / "half"]
    recipes = [tiny_run("checkpoint", f"folder={place}") for place in places]
    assert recipes[0].budget.ratio == 1
    plain, moved = run_each(recipes, store, CPU)
    (tuned,) = run_each([tiny_run("checkpoint", f"folder={places[0]}", "tune=true")], store, CPU)
    (held,) = run_each([tiny_run("checkpoint", f"folder={places[0]}", **{"budget.ratio": 0.9})], store, CPU)
    assert subject(plain) == subject(moved) != subject(tuned)
    assert "finetune" in tuned.how.seconds and "finetune" not in plain.how.seconds
    assert plain.macs["exact"].ratio < 0.9 and plain.how.digests["method:weights"]
    found = [Entry((with_settings(record, "folder=", "tune="),)) for record in (plain, moved, tuned, held)]
    assert [entry.kind for entry in found] == ["published", "published", "variant", "main"]
    assert entry_title(found[0]) == "half"


def test_a_board_shows_them_without_a_rank(make_record: Any) -> None:
    weights = {"what": {"method_config": {"label": "bk-sdm-small"}}}
    rows = [make_record("dense", budget=1.0), make_record("norm"), make_record("bk_sdm", fid=4.0)]
    rows.append(make_record("checkpoint", budget=1.0, fid=2.0, **weights))
    (board,) = boards(rows)
    (row,) = board.of("published")
    assert row.entry.published == "bk-sdm-small" and all(not place.rank for place in row.places.values())
    assert [each.entry.method for each in board.of("reference")] == ["dense"]
    assert len(board.of("main")) == 2


def test_without_a_budget_any_command_asks_for_none() -> None:
    assert config.recipe("checkpoint", "coco").budget.ratio == 1
    assert config.recipe("checkpoint", "coco", flags={"budget.ratio": 0.5}).budget.ratio == 0.5
