"""Stages on disk: named by what went in, written aside, renamed into place when whole, read ever after.

A stage's folder is `<root>/<name>-<digest>`; while it is made it is `<root>/<name>-<digest>.partial`, which outlives a
kill, so that the same command goes on from its last checkpoint. A finished one has a manifest with each file's sha256,
size and time of its last change: one that has both still is not read again, which took minutes at the paper's scale.
Files of a finished one that nothing needs any more can be shed; it is made again where something needs them after all.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from filelock import BaseFileLock, FileLock, Timeout

from aptp_bench.core.blocks import Named
from aptp_bench.core.distributed import ALONE, Ranks
from aptp_bench.core.files import UNFINISHED, sha256_of, write_json
from aptp_bench.core.progress import Progress
from aptp_bench.errors import AptpBenchError, StoreError

MANIFEST = "manifest.json"
ATTEMPT = "attempt.json"
SCRATCH = "work"  # checkpoints live here; of a finished stage only its logs are kept
LOGS = (".json", ".jsonl")
Keep = Literal["all", "tuned"]


@dataclass(frozen=True)
class Stage:
    """One stage: its folder, the digest of all that went into it, and the seconds it took (None: not done yet).

    date: on which it was done, UTC, as YYYY-MM-DD; empty where that was not written down.
    """

    name: str
    folder: Path
    digest: str
    seconds: float | None
    date: str = ""

    @property
    def done(self) -> bool:
        """Whether the folder is finished and whole."""
        return self.seconds is not None


@dataclass(frozen=True)
class Store:
    """The stages under one root.

    dry: say what is done and do nothing; refresh: make what is done again, once each; verify: read every file of what is
    done, whatever its size and time say; keep: "tuned" lets commands shed the networks that fine-tuning began with; tracker:
    of PACKAGES in core.tracking, gets the steps of trainings.
    """

    root: Path
    progress: Progress
    ranks: Ranks = ALONE
    dry: bool = False
    refresh: bool = False
    verify: bool = False
    keep: Keep = "all"
    tracker: str | None = None
    fresh: set[Path] = field(default_factory=set, repr=False)  # made here, or here first read

    def named(self, name: str, key: dict[str, Any], after: Sequence[Stage] = ()) -> tuple[Path, str]:
        """(folder, digest) of the stage `name` of `key`, whether it is done or not."""
        digest = digest_of({"name": name, "key": key, "after": [stage.digest for stage in after]})
        return self.root / f"{name}-{digest[:12]}", digest

    def stage(
        self,
        name: str,
        fn: Callable[[Path], None],
        *,
        key: dict[str, Any],
        after: Sequence[Stage] = (),
        shared: bool = False,
        whole: bool = False,
    ) -> Stage:
        """The stage `name` of `key`: read if finished, else made by `fn(folder)`, which finds what a killed run left.

        key: all that decides the result, as JSON. after: the stages it reads. shared: every process takes part in `fn`,
        else the first alone. whole: what has shed files is made again. A failure of one is raised on all and leaves no
        finished folder. Raises StoreError if a finished one's files changed.
        """
        folder, digest = self.named(name, key, after)
        if not self.dry:
            with self._alone_on(folder), self.ranks.together():
                again = (self.refresh and folder not in self.fresh) or (whole and bool(_shed(folder)))
                if again or not (folder / MANIFEST).is_file():
                    self._make(folder, fn, {"name": name, "digest": digest, "key": key}, shared, again)
            self.fresh.add(folder)
        seconds = seconds_of(folder, self.verify)
        date = "" if seconds is None else json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("date", "")
        return Stage(name, folder, digest, seconds, date)

    def stages(
        self, wanted: Sequence[Named], fn: Callable[[Mapping[int, Path]], Mapping[int, AptpBenchError]]
    ) -> list[Stage | AptpBenchError]:
        """Stages, each a name and a key, that all processes make in one pass; of those that fail the reason.

        `fn` gets the folders of those that are not finished, by their places in `wanted`, and returns what failed there: the
        others are finished all the same. Locks are taken by the folders' names: no two passes wait for each other.
        """
        order = sorted(range(len(wanted)), key=lambda i: self.named(*wanted[i])[0])
        ended: dict[int, Stage | AptpBenchError] = {}
        failed: dict[int, AptpBenchError] = {}

        def enter(depth: int, folders: dict[int, Path]) -> None:
            if depth == len(order):
                try:
                    failed.update(fn(folders) if folders else {})
                except AptpBenchError as err:  # what they are made from cannot be read
                    failed.update(dict.fromkeys(folders, err))
                return
            i, opened = order[depth], []

            def make(folder: Path) -> None:
                opened.append(folder)
                enter(depth + 1, {**folders, i: folder})
                if i in failed:
                    raise failed[i]

            try:
                ended[i] = self.stage(wanted[i][0], make, key=wanted[i][1], shared=True)
            except AptpBenchError as err:
                ended[i] = err
            if not opened:
                enter(depth + 1, folders)

        enter(0, {})
        return [ended[i] for i in range(len(wanted))]

    def making(self, name: str) -> bool:
        """Whether another process makes a stage `name` now."""
        for partial in self.root.glob(f"{name}-*.partial"):
            try:
                with self._lock(partial.stem).acquire(timeout=0):
                    pass
            except Timeout:
                return True
        return False

    def shed(self, folder: Path, pattern: str) -> None:
        """Remove the files of a finished stage's folder whose paths match `pattern`; it stays finished.

        Word of it is left first: after a kill in the middle they count as shed, and the next call removes what is left.
        """
        with self._alone_on(folder, waited=False):
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            gone = sorted(name for name in manifest["files"] if fnmatch(name, pattern))
            write_json(folder / MANIFEST, {**manifest, "shed": gone})
            for name in gone:
                (folder / name).unlink(missing_ok=True)

    def _make(self, folder: Path, fn: Callable[[Path], None], facts: dict[str, Any], shared: bool, again: bool) -> None:
        if folder.exists() and not (self.refresh or again):
            raise StoreError(f"{folder} has lost its {MANIFEST}; delete the folder and run again: rm -r {folder}")
        partial = folder.with_name(folder.name + ".partial")
        spent = _begin(partial) if self.ranks.first else 0.0
        started = time.time()
        self.ranks.wait()
        with self.ranks.together():
            if self.ranks.first or shared:
                fn(partial)
        if self.ranks.first:
            _tidy(partial)
            seconds = round(spent + time.time() - started, 3)
            files = {name: sha256_of(file) for name, file in _files(partial).items()}
            seen = {name: _seen(file) for name, file in _files(partial).items()}
            today = datetime.now(timezone.utc).date().isoformat()
            write_json(partial / MANIFEST, {**facts, "seconds": seconds, "date": today, "files": files, "seen": seen})
            if folder.exists():  # made again: the old one is there until the new one is whole
                shutil.rmtree(folder)
            partial.replace(folder)

    @contextmanager
    def _alone_on(self, folder: Path, waited: bool = True) -> Iterator[None]:
        """The first process holds the folder's lock; the kernel lets go of it when the process dies.

        waited: the others come here too, and go on when it is held.
        """
        ranks = self.ranks if waited else ALONE
        if not ranks.first:
            ranks.wait()  # until the first process holds the lock
            yield
            return
        lock = self._lock(folder.name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self.progress.say(f"another process is making {folder.name}; waiting for it")
            lock.acquire()
        try:
            ranks.wait()
            yield
        finally:
            lock.release()

    def _lock(self, name: str) -> BaseFileLock:
        locks = self.root / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        return FileLock(locks / f"{name}.lock")


def seconds_of(folder: Path, verify: bool = False) -> float | None:
    """The seconds a finished stage took, None if it is not finished. Raises StoreError if a file changed since.

    verify: files are read even where their size and time are those of the manifest.
    """
    if not (folder / MANIFEST).is_file():
        return None
    fix = f"delete the folder and run again: rm -r {folder}"
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        seconds, files, seen = float(manifest["seconds"]), dict(manifest["files"]), dict(manifest.get("seen", {}))
        shed = set(manifest.get("shed", ()))
    except (ValueError, KeyError, TypeError) as err:
        raise StoreError(f"{folder / MANIFEST} cannot be read; {fix}") from err
    found = _files(folder)
    for name in sorted((files.keys() ^ found.keys()) - shed):
        what = "was added" if name in found else "is missing"
        raise StoreError(f"{folder / name} {what} after the stage was finished; {fix}")
    for name, file in found.items():
        if (verify or seen.get(name) != _seen(file)) and sha256_of(file) != files[name]:
            raise StoreError(f"{file} changed after the stage was finished; {fix}")
    return seconds


def _shed(folder: Path) -> list[str]:
    """The files that a finished stage has shed; none where it is not finished."""
    try:
        return list(json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("shed", ()))
    except (OSError, ValueError, AttributeError, TypeError):
        return []  # what cannot be read is said where the stage is looked at


def digest_of(document: Any) -> str:
    """sha256 of a JSON document in its canonical form."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _begin(partial: Path) -> float:
    """Open a partial folder; the seconds that killed attempts spent there, up to the last file each wrote."""
    partial.mkdir(parents=True, exist_ok=True)
    spent = 0.0
    try:
        last = json.loads((partial / ATTEMPT).read_text(encoding="utf-8"))
        newest = max(file.stat().st_mtime for file in partial.rglob("*"))
        spent = float(last["spent"]) + max(0.0, newest - float(last["started"]))
    except (OSError, ValueError, KeyError):
        pass  # a first attempt
    write_json(partial / ATTEMPT, {"started": time.time(), "spent": spent})
    return spent


def _tidy(partial: Path) -> None:
    (partial / ATTEMPT).unlink(missing_ok=True)
    for file in [f for f in partial.rglob("*") if f.is_file()]:
        scratch = SCRATCH in file.relative_to(partial).parts[:-1] and file.suffix not in LOGS
        if scratch or _hidden(file, partial) or file.name.endswith(UNFINISHED):
            file.unlink()
    for folder in sorted((f for f in partial.rglob("*") if f.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            shutil.rmtree(folder)


def _hidden(file: Path, root: Path) -> bool:
    """Whether a name on the way from `root` begins with a dot: half-written folders, a file browser's notes."""
    return any(part.startswith(".") for part in file.relative_to(root).parts)


def _files(folder: Path) -> dict[str, Path]:
    files = sorted(f for f in folder.rglob("*") if f.is_file() and not _hidden(f, folder) and f.name != MANIFEST)
    return {file.relative_to(folder).as_posix(): file for file in files}


def _seen(file: Path) -> list[int]:
    """Size, and the time of the last change in nanoseconds: what an edit does not leave as it was."""
    facts = file.stat()
    return [facts.st_size, facts.st_mtime_ns]
