from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aptp_bench.core import store as store_module
from aptp_bench.core.distributed import ALONE, Ranks
from aptp_bench.core.files import check_writable
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.store import MANIFEST, SCRATCH, Stage, Store, digest_of
from aptp_bench.errors import StoreError


def writer(text: str, calls: list[str] | None = None):
    def write(folder: Path) -> None:
        if calls is not None:
            calls.append(text)
        (folder / "out.txt").write_text(text)

    return write


def test_a_finished_stage_is_read_and_not_done_again(store):
    calls: list[str] = []
    first = store.stage("a", writer("x", calls), key={"k": 1})
    second = Store(store.root, SilentProgress()).stage("a", writer("y", calls), key={"k": 1})
    assert calls == ["x"]
    assert second == first and second.done
    assert (second.folder / "out.txt").read_text() == "x"
    assert [path for path in store.root.iterdir() if path.suffix == ".partial"] == []


def test_key_and_upstream_stages_name_the_folder(store):
    a1, a2 = (store.stage("a", writer(str(k)), key={"k": k}) for k in (1, 2))
    same = store.stage("b", writer("b"), key={}, after=[a1])
    other = store.stage("b", writer("b"), key={}, after=[a2])
    assert len({a1.folder, a2.folder, same.folder, other.folder}) == 4
    assert store.stage("b", writer("b"), key={}, after=[a1]).folder == same.folder


def test_a_failed_stage_leaves_what_it_wrote_and_no_finished_folder(store):
    def fail(folder: Path) -> None:
        (folder / "checkpoint").write_text("7")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        store.stage("a", fail, key={})
    assert [p.suffix for p in store.root.iterdir() if p.name != ".locks"] == [".partial"]

    def resume(folder: Path) -> None:
        assert (folder / "checkpoint").read_text() == "7"
        (folder / "out.txt").write_text("done")

    assert store.stage("a", resume, key={}).done


def test_time_of_killed_attempts_is_counted(store):
    def fail(folder: Path) -> None:
        time.sleep(0.3)
        (folder / "checkpoint").write_text("7")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.stage("a", fail, key={})
    seconds = store.stage("a", writer("x"), key={}).seconds
    assert seconds > 0.25


def test_scratch_keeps_logs_only(store):
    def work(folder: Path) -> None:
        (folder / SCRATCH / "expert").mkdir(parents=True)
        (folder / SCRATCH / "expert" / "state.safetensors").write_text("big")
        (folder / SCRATCH / "expert" / "history.jsonl").write_text("{}")
        (folder / SCRATCH / "empty").mkdir()
        (folder / ".aside" / "new").mkdir(parents=True)
        (folder / ".aside" / "new" / "half").write_text("half")
        (folder / "000000.png.123.tmp").write_text("half")
        (folder / "out.txt").write_text("whole")

    folder = store.stage("a", work, key={}).folder
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files == {MANIFEST, "out.txt", f"{SCRATCH}/expert/history.jsonl"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda f: (f / "out.txt").write_text("other"), "changed"),
        (lambda f: (f / "out.txt").unlink(), "is missing"),
        (lambda f: (f / "more.png").write_text("z"), "was added"),
        (lambda f: (f / MANIFEST).write_text("{"), "cannot be read"),
        (lambda f: (f / MANIFEST).unlink(), "has lost its"),
    ],
)
def test_a_finished_stage_that_changed_is_refused_with_the_fix(store, change, word):
    folder = store.stage("a", writer("x"), key={}).folder
    change(folder)
    with pytest.raises(StoreError, match=word) as caught:
        store.stage("a", writer("x"), key={})
    assert f"rm -r {folder}" in str(caught.value)


def test_what_has_its_size_and_time_is_not_read_again_unless_asked(store, monkeypatch):
    """At the paper's scale a stage holds tens of gigabytes, and every process of every start looks at it."""
    file = store.stage("a", writer("one"), key={}).folder / "out.txt"
    then = file.stat()
    with monkeypatch.context() as patched:
        patched.setattr(store_module, "sha256_of", lambda path: pytest.fail(f"{path} is read"))
        assert store.stage("a", writer("x"), key={}).done
    os.utime(file, ns=(0, 0))  # a copy elsewhere has other times, and is read
    assert store.stage("a", writer("x"), key={}).done
    file.write_text("two")
    os.utime(file, ns=(then.st_atime_ns, then.st_mtime_ns))
    assert store.stage("a", writer("x"), key={}).done  # all that a glance can tell
    with pytest.raises(StoreError, match="changed"):
        Store(store.root, SilentProgress(), verify=True).stage("a", writer("x"), key={})


@pytest.mark.skipif(os.name == "nt", reason="files with holes are not of Windows by default")
def test_a_start_over_sixty_gigabytes_opens_nothing_but_manifests(store):
    """However large a finished stage's files are, a start over it depends on their number alone."""
    for name in ("pairs", "prune", "finetune"):
        folder = store.stage(name, writer(name), key={}).folder
        os.truncate(folder / "out.txt", 20 * 10**9)  # holes, which take no room
        manifest, facts = json.loads((folder / MANIFEST).read_text()), (folder / "out.txt").stat()
        manifest["seen"]["out.txt"] = [facts.st_size, facts.st_mtime_ns]
        (folder / MANIFEST).write_text(json.dumps(manifest))
    opened: list[str] | None = []

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if opened is not None and event == "open" and str(args[0]).startswith(str(store.root)):
            opened.append(Path(str(args[0])).name)

    sys.addaudithook(watch)  # for good: it is silenced below
    try:
        fresh = Store(store.root, SilentProgress())
        assert all(fresh.stage(name, writer("x"), key={}).done for name in ("pairs", "prune", "finetune"))
        assert {name for name in opened if not name.endswith(".lock")} == {MANIFEST}
    finally:
        opened = None


def test_stages_of_before_are_read_whole(store):
    folder = store.stage("a", writer("one"), key={}).folder
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["seen"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert store.stage("a", writer("x"), key={}).done
    (folder / "out.txt").write_text("two")
    with pytest.raises(StoreError, match="changed"):
        store.stage("a", writer("x"), key={})


def test_hidden_files_of_a_file_browser_do_no_harm(store):
    folder = store.stage("a", writer("x"), key={}).folder
    (folder / ".DS_Store").write_text("z")
    assert store.stage("a", writer("x"), key={}).done


def test_a_dry_store_says_what_is_done_and_touches_nothing(store, tmp_path):
    store.stage("a", writer("x"), key={})
    dry = Store(store.root, SilentProgress(), dry=True)
    assert dry.stage("a", writer("y"), key={}).done
    assert not dry.stage("a", writer("y"), key={"k": 1}).done
    fresh = Store(tmp_path / "none", SilentProgress(), dry=True)
    assert not fresh.stage("a", writer("y"), key={}).done
    assert not (tmp_path / "none").exists()


def make_slowly(root: Path, log: Path) -> bool:
    def slow(folder: Path) -> None:
        with log.open("a") as stream:
            stream.write("made\n")
        time.sleep(0.5)
        (folder / "out.txt").write_text("x")

    return Store(root, SilentProgress()).stage("a", slow, key={}).done


def test_two_runs_at_once_make_a_stage_once(tmp_path):
    with ThreadPoolExecutor(2) as pool:  # the lock is on an open file, so it parts threads as it parts processes
        both = [pool.submit(make_slowly, tmp_path / "runs", tmp_path / "log") for _ in range(2)]
    assert [run.result() for run in both] == [True, True]
    assert (tmp_path / "log").read_text() == "made\n"


@dataclass(frozen=True)
class Threads(Ranks):
    """Ranks that are threads of one process."""

    barrier: Any = None
    said: dict[int, Any] = field(default_factory=dict)

    def wait(self) -> None:
        self.barrier.wait(20)

    def come(self, within: timedelta | None = None) -> bool:
        self.wait()
        return True

    def gathered(self, said: Any) -> list[Any]:
        self.said[self.rank] = said
        self.wait()
        found = [self.said[rank] for rank in range(self.size)]
        self.wait()  # none says the next thing before all have read this one
        return found


def by_two(root: Path, fn: Callable[[int, Path], None], shared: bool) -> list[Any]:
    """The outcome of one stage for each of two ranks: the stage, or the error."""
    barrier, said = threading.Barrier(2), dict[int, Any]()

    def work(rank: int) -> Any:
        store = Store(root, SilentProgress(), Threads(rank, 2, barrier, said))
        try:
            return store.stage("a", lambda folder: fn(rank, folder), key={}, shared=shared)
        except RuntimeError as err:
            return err

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(work, range(2)))


@pytest.mark.parametrize(("shared", "files"), [(True, {"0", "1"}), (False, {"0"})])
def test_ranks_make_a_stage_together_or_leave_it_to_the_first(tmp_path, shared, files):
    stages = by_two(tmp_path, lambda rank, folder: (folder / str(rank)).touch(), shared)
    assert [stage.done for stage in stages] == [True, True]
    assert {path.name for path in stages[0].folder.iterdir()} == files | {MANIFEST}
    again = by_two(tmp_path, lambda rank, folder: pytest.fail("done again"), shared)
    assert again == stages


@pytest.mark.parametrize(("failing", "shared"), [(0, False), (0, True), (1, True)])
def test_where_a_rank_fails_each_fails_and_none_waits_for_ever(tmp_path, failing, shared):
    def fail(rank: int, folder: Path) -> None:
        if rank == failing:
            raise RuntimeError("no")

    assert all(isinstance(outcome, RuntimeError) for outcome in by_two(tmp_path, fail, shared))
    assert not list(tmp_path.glob("a-*/" + MANIFEST))


def test_digest_ignores_the_order_of_keys_and_sees_every_value():
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})


def test_a_folder_that_can_be_made_is_writable_and_is_not_made(tmp_path):
    check_writable(tmp_path / "a" / "b", "--runs-dir")
    assert not (tmp_path / "a").exists()


def test_a_folder_below_a_file_is_not_writable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"choose another folder with --results-dir"):
        check_writable(tmp_path / "file" / "results", "--results-dir")


def test_refreshing_makes_a_finished_stage_once_more_and_keeps_the_old_one_until_then(store):
    calls: list[str] = []
    store.stage("a", writer("x", calls), key={})
    fresh = Store(store.root, SilentProgress(), refresh=True)

    def fail(folder: Path) -> None:
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fresh.stage("a", fail, key={})
    assert (store.stage("a", writer("y", calls), key={}).folder / "out.txt").read_text() == "x"
    for _ in range(2):  # the second time it is what was just made
        found = fresh.stage("a", writer("z", calls), key={})
    assert calls == ["x", "z"] and (found.folder / "out.txt").read_text() == "z"
    assert replace(fresh, ranks=ALONE).stage("a", writer("w", calls), key={}) == found


def shared_pass(made: list[dict[int, Path]], failing: dict[int, StoreError] | None = None):
    def fn(folders: Mapping[int, Path]) -> dict[int, StoreError]:
        made.append(dict(folders))
        for i, folder in folders.items():
            (folder / "out.txt").write_text(str(i))
        return failing or {}

    return fn


def test_one_pass_makes_all_stages_that_are_not_finished(store):
    made: list[dict[int, Path]] = []
    wanted = [("a", {"k": 1}), ("b", {}), ("a", {"k": 2})]
    store.stage("b", writer("before"), key={})
    first = store.stages(wanted, shared_pass(made))
    assert [set(folders) for folders in made] == [{0, 2}]
    assert [(stage.folder / "out.txt").read_text() for stage in first] == ["0", "before", "2"]
    assert store.stages(wanted, shared_pass(made)) == first and len(made) == 1
    assert store.stages([*reversed(wanted)], shared_pass(made)) == [*reversed(first)] and len(made) == 1


def test_a_stage_that_fails_in_a_pass_leaves_the_others_finished(store):
    made: list[dict[int, Path]] = []
    wanted = [(name, {}) for name in "abc"]
    found = store.stages(wanted, shared_pass(made, {1: StoreError("no b")}))
    assert [type(each) for each in found] == [Stage, StoreError, Stage]
    again = store.stages(wanted, shared_pass(made))
    assert [set(folders) for folders in made] == [{0, 1, 2}, {1}] and all(each.done for each in again)


def test_what_nothing_can_be_made_of_fails_all_and_leaves_no_stage(store):
    def broken(folders: Mapping[int, Path]) -> dict[int, StoreError]:
        raise StoreError("the image is broken")

    found = store.stages([("a", {}), ("b", {})], broken)
    assert [str(each) for each in found] == ["the image is broken"] * 2
    assert not [path for path in store.root.iterdir() if (path / MANIFEST).exists()]


def test_shed_files_are_gone_and_their_stage_is_made_again_where_it_is_wanted_whole(store):
    calls: list[str] = []

    def two(folder: Path) -> None:
        calls.append("made")
        (folder / "weights").mkdir(exist_ok=True)
        (folder / "weights" / "model.safetensors").write_text("large")
        (folder / "index.json").write_text("small")

    stage = store.stage("a", two, key={})
    store.shed(stage.folder, "weights/*.safetensors")
    assert not (stage.folder / "weights" / "model.safetensors").exists() and (stage.folder / "index.json").exists()
    later = Store(store.root, SilentProgress(), verify=True)
    assert later.stage("a", two, key={}) == stage and calls == ["made"]
    whole = later.stage("a", two, key={}, whole=True)
    assert (whole.folder / "weights" / "model.safetensors").read_text() == "large" and calls == ["made"] * 2
    later.stage("a", two, key={}, whole=True)
    assert calls == ["made"] * 2
    (whole.folder / "index.json").unlink()  # what was not shed is still missed
    with pytest.raises(StoreError, match="missing"):
        later.stage("a", two, key={})
