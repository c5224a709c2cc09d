"""A suite on two nodes of a local Ray cluster, one of which dies in the middle: what it leaves is what one machine leaves."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from aptp_bench.cli import app
from aptp_bench.cli.failures import outcome
from aptp_bench.errors import ConfigError
from aptp_bench.harness.cluster import _room

SUITE: dict[str, Any] = {
    "title": "Six", "dataset": "coco", "scale": "smoke", "seeds": [0, 1],
    "settings": [
        *("sizes.train=16", "sizes.val=8", "sizes.partiprompts=0", "sampling.steps=2", "finetune.steps=2", "finetune.batch=8"),
        "metrics=[macs,parameters,fid]",
    ],
    "rows": [{"label": name, "method": name} for name in ("norm", "random", "fewer_steps")],
}  # fmt: skip


@pytest.fixture
def suite(tmp_path: Path, capfd: Any) -> Callable[..., dict[str, Any]]:
    """suite(*options) -> the records of the suite by label, as the command prints them."""
    file = tmp_path / "suite.yaml"
    file.write_text(yaml.safe_dump(SUITE))

    def run(*options: str) -> dict[str, Any]:
        capfd.readouterr()
        code = outcome(lambda: app(["suite", str(file), "--json", "--device", "cpu", *options], standalone_mode=False))
        said = capfd.readouterr()
        assert code == 0, said.err
        return dict(json.loads(said.out)["records"])

    return run


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes of one processor; cluster.doomed is the one without the head."""
    utils = pytest.importorskip("ray.cluster_utils", reason="pip install 'aptp-bench[ray]', or tox -e ray")
    nodes = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.doomed = nodes.add_node(num_cpus=1)
    yield nodes
    nodes.shutdown()


def measured(records: dict[str, Any]) -> dict[str, list[Any]]:
    """What must not differ: costs, experts, results."""
    return {
        label: [[r["macs"], r["experts"], r["results"], r["samples"]] for r in each] for label, each in records.items()
    }


def test_six_runs_on_two_nodes_of_which_one_dies(cluster: Any, suite: Callable[..., Any], tmp_path: Path) -> None:
    root, killed = tmp_path / "shared", threading.Event()

    def kill() -> None:
        while len(list(root.glob("prune-*.partial"))) < 1 and len(list(root.glob("prune-*"))) < 2:
            time.sleep(0.05)  # until both have begun
        cluster.remove_node(cluster.doomed, allow_graceful=False)
        killed.set()

    threading.Thread(target=kill, daemon=True).start()
    there = suite("--ray", cluster.address, "--runs-dir", str(root))
    assert killed.is_set()
    here = suite("--runs-dir", str(tmp_path / "alone"))
    assert measured(there) == measured(here) and sum(map(len, here.values())) == 6
    assert not list(root.glob("*.partial"))


def nodes(*resources: dict[str, float]) -> list[dict[str, Any]]:
    return [{"Alive": True, "Resources": each} for each in resources]


def test_a_task_fits_a_node_or_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no node can hold would wait for ever, without a word of ours."""
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert _room(nodes({"CPU": 8, "GPU": 2}), "auto") == {"num_cpus": 8, "num_gpus": 1.0}
    many = nodes({"CPU": 4}, {"CPU": 4}, {"CPU": 4})  # enough of them in all
    with pytest.raises(
        ConfigError, match="no node of the cluster has 8 processors for a run; set OMP_NUM_THREADS to 4"
    ):
        _room(many, "cpu")
    with pytest.raises(ConfigError, match="no node of the cluster has 8 processors and a GPU"):
        _room(nodes({"CPU": 8}, {"CPU": 4, "GPU": 8}), "auto")
    gone = [{"Alive": False, "Resources": {"CPU": 64}}, *nodes({"CPU": 8})]
    assert _room(gone, "auto") == {"num_cpus": 8, "num_gpus": 0.0}
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert _room(nodes({"CPU": 64, "GPU": 8}, {"CPU": 64, "GPU": 8}), "auto")["num_cpus"] == 8
    beside = nodes({"CPU": 128}, {"CPU": 16, "GPU": 8})  # the head's processors drive no GPU
    assert _room(beside, "auto") == {"num_cpus": 2, "num_gpus": 1.0}


def test_what_cannot_be_is_one_line(tmp_path: Path, capfd: Any) -> None:
    words = ["suite", "mini/experts", "--runs-dir", str(tmp_path), "--ray", "local", "--refresh"]
    assert outcome(lambda: app(words, standalone_mode=False)) == 2
    assert "--ray" in capfd.readouterr().err
