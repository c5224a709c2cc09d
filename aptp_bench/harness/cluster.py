"""The runs of a suite on a cluster, by Ray: a run is a task, carried out on whichever node has room for it.

Nodes share the folder of runs and what the recipes read. The store's locks keep two nodes from making one stage; a run whose node
dies is tried again on another and goes on from its last checkpoint. What comes out is what a suite on one machine leaves.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from aptp_bench.core.documents import first_problem
from aptp_bench.core.progress import Progress
from aptp_bench.core.recipe import Recipe
from aptp_bench.errors import ConfigError
from aptp_bench.harness import rows as table
from aptp_bench.harness.suite import Outcome, Run, log_of
from aptp_bench.records import Record

if TYPE_CHECKING:
    import ray

RETRIES = 5  # of a run whose node died
PASSED_ON = ("APTP_BENCH_", "HF_", "OMP_NUM_THREADS")  # how variables begin that tasks are given too


@dataclass(frozen=True)
class Place:
    """Where and how tasks work: folders that every node sees, and what store and device are asked for. mark: a file in root."""

    folder: str
    root: str
    device: str
    verify: bool = False
    tracker: str | None = None
    mark: str = ""


def outcomes(runs: Sequence[Run], address: str, place: Place, progress: Progress) -> Iterator[Outcome]:
    """Every run with its record or why there is none, as they end. address: local starts a cluster of this machine alone,
    auto finds the one that this machine is in, else where Ray says that its cluster is.

    A task has one of the cluster's GPUs, if it has any, and as many processors as OMP_NUM_THREADS says, or else its GPU's share.
    Raises ConfigError if Ray is not installed, there is no cluster, or a cluster has no room for one run.
    """
    with redirect_stdout(sys.stderr):  # what Ray says of its nodes is no result
        ray = _connected(address)
    try:
        with redirect_stdout(sys.stderr), NamedTemporaryFile(dir=place.root, prefix=".cluster-") as mark:
            begin = ray.remote(max_retries=RETRIES, **_room(ray.nodes(), place.device))(_carried)
            seen = replace(place, mark=Path(mark.name).name)
            tasks = {
                begin.options(name=run.name).remote(
                    run.recipe.model_dump_json(), seen, log_of(Path(place.root), i)
                ): run
                for i, run in enumerate(runs, start=1)
            }
            ended = _ended(ray, tasks)
            yield from (next(ended) for _ in progress.track(range(len(runs)), "runs"))
    finally:
        ray.shutdown()


def _connected(address: str) -> Any:
    try:
        import ray
    except ImportError as err:
        raise ConfigError("--ray needs Ray, which is not installed; pip install 'aptp-bench[ray]'") from err
    variables = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    try:
        ray.init(address=address, runtime_env={"env_vars": variables}, logging_level="warning")
    except (ConnectionError, ValueError, RuntimeError) as err:
        why = " ".join(str(err).split())[:200]
        raise ConfigError(
            f"no Ray cluster at '{address}' ({why}); start one: ray start --head, or use --ray local"
        ) from err
    return ray


def _room(nodes: Sequence[Mapping[str, Any]], device: str) -> dict[str, float]:
    """What a task takes of a node. nodes: as Ray tells of them. Raises ConfigError if none has that: tasks would wait for ever."""
    there = [node["Resources"] for node in nodes if node["Alive"]]
    fast = [] if device == "cpu" else [node for node in there if node.get("GPU", 0) >= 1]
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    shares = [int(node.get("CPU", 0) // node["GPU"]) for node in fast]  # a node without GPUs has none to share
    wanted = {
        "num_cpus": max(1, int(asked) if asked.isdecimal() else min(shares, default=1)),
        "num_gpus": float(bool(fast)),
    }
    if not any(node.get("CPU", 0) >= wanted["num_cpus"] and node.get("GPU", 0) >= wanted["num_gpus"] for node in there):
        what = f"{wanted['num_cpus']} processors" + " and a GPU" * bool(wanted["num_gpus"])
        most = int(max((node.get("CPU", 0) for node in fast or there), default=0))
        raise ConfigError(f"no node of the cluster has {what} for a run; set OMP_NUM_THREADS to {most} at most")
    return wanted


def _ended(ray: Any, tasks: dict[ray.ObjectRef, Run]) -> Iterator[Outcome]:
    while tasks:
        (task,), _ = ray.wait(list(tasks), num_returns=1)
        run = tasks.pop(task)
        try:
            document, why = ray.get(task)
        except ray.exceptions.RayError as err:
            document, why = None, f"{type(err).__name__}: {first_problem(err)}"
        yield run, None if document is None else Record.model_validate_json(document), why


def _carried(document: str, place: Place, log: Path) -> tuple[str | None, str | None]:
    """On a node: carry out one recipe, given as JSON. The record as JSON, or why there is none; see `rows.attempt`."""
    from aptp_bench.core.progress import PlainProgress
    from aptp_bench.harness import session
    from aptp_bench.models.weights import quiet

    if not (Path(place.root) / place.mark).is_file():
        where = f"{place.root} is not there on {os.uname().nodename}"
        return None, f"{where}; give --runs-dir on a file system that nodes share"
    os.chdir(place.folder)  # relative paths of the recipe mean what they mean where the suite was started
    store = session.open_store(Path(place.root), PlainProgress(), verify=place.verify, tracker=place.tracker)
    with quiet():
        record, why = table.attempt(
            partial(session.carrier(store, place.device), Recipe.model_validate_json(document)), log
        )
    return None if record is None else record.model_dump_json(), why
