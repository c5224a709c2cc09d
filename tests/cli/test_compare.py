"""compare: two runs or records; per metric the difference, how sure it is, and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp_bench import records
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.store import Store
from aptp_bench.harness import replicates, run_folder
from aptp_bench.harness.inputs import Materials
from aptp_bench.harness.run import run
from aptp_bench.plugins import Evidence, Measurement, Metric
from aptp_bench.reporting.ranking.entries import protocol

CPU = torch.device("cpu")


class Light(Metric):
    """Mean brightness, one number an image."""

    name, unit, better, needs, backbone = "light", "", "higher", frozenset({"images"}), "inception"

    def __call__(self, evidence: Evidence) -> Measurement:
        scores = evidence.images().double().mean(dim=(1, 2, 3))
        return self.measured(float(scores.mean()), n=len(scores), replicates=scores.tolist())


@pytest.fixture
def runs(tiny_run: Any, register: Any, tmp_path: Path) -> list[Path]:
    """Two runs that differ in their seed."""
    register("metrics", "light", Light)
    found = []
    for seed in (0, 1):
        recipe = tiny_run("dense", "metrics=[macs,light]", seed=seed)
        record = run(recipe, Materials.of(recipe, CPU), Store(tmp_path / "runs", SilentProgress()))
        found.append(run_folder.place(record, tmp_path / "runs"))
    return found


@pytest.fixture
def compared(call: Callable[..., tuple[int, str]]) -> Callable[..., dict[str, Any]]:
    def made(*words: Any) -> dict[str, Any]:
        code, out = call("compare", *map(str, words), "--json")
        assert code == 0, call.err  # type: ignore[attr-defined]
        return dict(json.loads(out))

    return made


def test_two_runs_are_compared_prompt_by_prompt(compared: Any, runs: list[Path]) -> None:
    found = compared(*runs)
    light = found["metrics"]["light"]
    records = [run_folder.RunFolder.load(r).record for r in runs]
    kept = [
        replicates.read(r / run_folder.REPLICATES, of.replicates, of.results)
        for r, of in zip(runs, records, strict=True)
    ]
    own = [each for each in kept if each is not None]
    gaps = own[0]["light"] - own[1]["light"]
    assert light["paired"] and light["n"] == 6 and light["difference"] == pytest.approx(gaps.mean())
    assert light["error"] == pytest.approx(gaps.std(ddof=1) / 6**0.5)
    assert light["interval"][0] < light["difference"] < light["interval"][1]
    assert [p["at"] for p in light["prompts"]] == sorted(range(6), key=lambda i: -abs(gaps[i]))[:4]
    assert all(prompt["caption"] for prompt in light["prompts"])
    assert found["metrics"]["macs"]["difference"] == 0 and not found["metrics"]["macs"]["paired"]
    assert found["world"] == "smoke"


def test_the_other_way_round_is_the_other_sign(compared: Any, runs: list[Path]) -> None:
    one, other = (compared(*order)["metrics"]["light"] for order in (runs, runs[::-1]))
    assert one["difference"] == -other["difference"] and one["p"] == pytest.approx(other["p"])
    assert {one["ahead"], other["ahead"]} in ({None}, {"a", "b"})


def test_both_images_are_drawn_where_runs_are_named(call: Any, compared: Any, runs: list[Path], tmp_path: Path) -> None:
    place = Path(compared(*runs)["picture"])
    assert place.parent == runs[0] and place.read_bytes().startswith(b"\x89PNG")
    assert compared(*runs, "--out", tmp_path / "mine.svg")["picture"] == str(tmp_path / "mine.svg")
    assert compared(*runs, "--prompts", 0)["picture"] is None
    code, out = call("compare", str(runs[0]), str(runs[1]))
    assert code == 0 and "light" in out and "6 prompts" in out and "smoke" in out and f"picture: {place}" in out


def test_records_are_compared_as_runs_are_but_without_images(compared: Any, runs: list[Path], tmp_path: Path) -> None:
    paths = [run_folder.publish(run_folder.RunFolder.load(each), tmp_path / "results") for each in runs]
    found = compared(*paths)
    of_runs = compared(*runs)
    assert found["picture"] is None and found["metrics"]["light"]["p"] == of_runs["metrics"]["light"]["p"]
    replicates.path_of(paths[0]).unlink()
    unpaired = compared(*paths)["metrics"]["light"]
    assert not unpaired["paired"] and "lost" in unpaired["why_unpaired"] and unpaired["prompts"] == []
    assert unpaired["p"] is None and unpaired["ahead"] is None  # its metric gives no interval
    assert unpaired["difference"] == pytest.approx(found["metrics"]["light"]["difference"], rel=1e-5)


def test_old_records_and_other_prompts_are_compared_unpaired(compared: Any, make_record: Any, tmp_path: Path) -> None:
    a = records.save(make_record("a", clip_score=(83.0, 82.8, 83.2)), tmp_path)
    b = records.save(make_record("b", clip_score=(80.0, 79.8, 80.2), digests={"val": "other"}, latency=None), tmp_path)
    found = compared(a, b)
    score = found["metrics"]["clip_score"]
    assert score["ahead"] == "a" and not score["paired"] and "other prompts" in score["why_unpaired"]
    assert score["error"] == pytest.approx(2**0.5 * 0.2 / 1.96)
    assert "b-coco" in found["not_compared"]["latency"] and "images" in found["not_compared"]["fid"]


def test_a_metric_is_of_its_own_prompts(make_record: Any) -> None:
    """Other captions of the dataset leave what is measured on the prompts as it is, and the other way round."""
    base = make_record("a")
    for where, moved, kept in (("val", "fid", "pick_score"), ("prompts", "pick_score", "fid")):
        other = make_record("a", digests={where: "other"})
        same = {name: protocol(base, name) == protocol(other, name) for name in (moved, kept)}
        assert same == {moved: False, kept: True}


def test_what_was_measured_otherwise_is_not_compared(compared: Any, make_record: Any, tmp_path: Path) -> None:
    a = records.save(make_record("a"), tmp_path)
    b = records.save(make_record("b", detail={"fid": {"backbone": "other"}, "latency": {"device": "a GPU"}}), tmp_path)
    found = compared(a, b)["not_compared"]
    assert "backbone" in found["fid"] and "device" in found["latency"] and "clip_score" not in found


@pytest.mark.parametrize(("words", "line"), [(("nowhere", "nowhere"), "nowhere"), (("a.json", "w.json"), "share no")])
def test_what_cannot_be_compared_is_said_in_a_line(
    call: Any, make_record: Any, tmp_path: Path, words: tuple[str, str], line: str
) -> None:
    for name, world in (("a", "mini"), ("w", "paper")):
        records.write(make_record("a", world=world), tmp_path / f"{name}.json")
    code, out = call("compare", *words)
    assert code == 2 and out == "" and line in call.err and call.err.count("\n") == 1


def test_a_picture_that_was_asked_for_and_cannot_be_is_an_error(call: Any, runs: list[Path], tmp_path: Path) -> None:
    paths = [run_folder.publish(run_folder.RunFolder.load(each), tmp_path / "results") for each in runs]
    for words in ([*runs, "--out", "x.txt"], [*runs, "--out", tmp_path / "runs"], [*paths, "--out", "x.png"]):
        code, _ = call("compare", *map(str, words))
        assert code == 2 and call.err.count("\n") == 1
    assert not (tmp_path / "x.png").exists()
