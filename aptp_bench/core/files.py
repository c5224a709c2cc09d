"""Files on disk: written whole or not at all, and never over what is not ours."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from aptp_bench.errors import CheckpointError, StoreError

BLOCK = 1 << 20
NAMED = 150  # letters of a file's name in that of the file beside it, which may not be too long
STAGE = re.compile(r".+-[0-9a-f]{12}")  # the name of a finished stage's folder
SAVED = ("model_index.json", "mixture.json", "pruning.json")  # of pipelines, mixtures and pruned networks
RUST = re.compile(r"I/O error: (.+) \(os error \d+\)")
UNFINISHED = (".tmp", ".partial")  # suffixes of a file that is being written


def at_home(path: Path | str) -> Path:
    """A path whose ~ is somebody's home; one of nobody stays as it is. Shells leave ~ alone behind "key="."""
    return Path(os.path.expanduser(path))


def write_whole(path: Path, write: Callable[[Path], Any]) -> Path:
    """`write` a file beside `path`, then rename it into place: a reader sees the old file or the whole new one.

    A link is written through. Raises StoreError for what is no regular file, and where nothing can be written.
    """
    check_regular(path)
    target = path.resolve()
    aside = target.with_name(f".{target.name[:NAMED]}.{os.getpid()}{UNFINISHED[0]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write(aside)
        aside.replace(target)
    except Exception as err:
        if (reason := _unwritten(err)) is not None:
            raise StoreError(f"{path} cannot be written ({reason}); make room or name another place") from err
        raise
    finally:
        if aside.parent.is_dir():
            aside.unlink(missing_ok=True)
    return path


class Unwritten(CheckpointError):
    """A folder that the system did not let be written, and what it said."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"{folder} cannot be written ({reason}); make room or name another folder")
        self.reason = reason


def _unwritten(err: Exception) -> str | None:
    """What the system said where it did not write, also to a library in Rust, whose errors are of a kind of their own."""
    if isinstance(err, Unwritten):  # of a folder inside
        return err.reason
    if isinstance(err, OSError):
        return err.strerror or str(err)
    found = RUST.search(str(err))
    return found[1] if found else None


def check_regular(path: Path) -> None:
    """Raise StoreError if something is at `path` that is no regular file, nor a link to one."""
    try:
        in_the_way = path.is_symlink() or path.exists()
        if in_the_way and not path.is_file():
            raise StoreError(f"{path} is no regular file; name another")
    except OSError as err:  # a name that is too long
        raise StoreError(f"{path} cannot be written ({err.strerror or err}); name another place") from err


def content(path: Path) -> bytes:
    """What a file holds, or a pipe that somebody writes into. Raises OSError for anything else, and does not wait for a writer."""

    def opened(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))  # opening a pipe waits for its writer

    with open(path, "rb", opener=opened) as file:
        kind = os.fstat(file.fileno()).st_mode
        if stat.S_ISFIFO(kind):
            os.set_blocking(file.fileno(), True)  # reading one is over where nobody writes
        elif not stat.S_ISREG(kind):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        return file.read()


def write_text(path: Path, text: str) -> Path:
    """A UTF-8 text file, written whole; its line ends are as in `text` on every system."""
    return write_whole(path, lambda aside: aside.write_bytes(text.encode()))


def write_json(path: Path, document: Any) -> Path:
    """A JSON document, written whole."""
    return write_text(path, json.dumps(document, indent=2) + "\n")


@contextmanager
def written_aside(folder: Path, marker: str, ours: str = "") -> Iterator[Path]:
    """A new folder to write into, renamed to `folder` at the end of the block and removed if the block fails.

    An existing folder is replaced only if it is empty or holds `marker`, and nothing beside what the new one has and what
    the pattern `ours` says, so that no one else's files are lost; hidden ones are carried over. Raises CheckpointError
    naming the folder, also for what a full disk stops.
    """
    check_replaceable(folder, marker)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as err:
        raise CheckpointError(f"{folder} cannot be written ({err.strerror}); name another folder") from err
    try:
        (fresh := aside / "new").mkdir()
        yield fresh
        if folder.exists():
            _carry_over(folder, fresh, ours)
            folder.rename(aside / "old")
        fresh.rename(folder)
    except Exception as err:
        if (reason := _unwritten(err)) and getattr(err, "errno", None) not in (
            errno.ENOENT,
            errno.EISDIR,
            errno.ENOTDIR,
        ):
            raise Unwritten(folder, reason) from err
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def check_replaceable(folder: Path, marker: str) -> None:
    """Raise CheckpointError unless `folder` is new, empty, or holds `marker`, which says that it is one of ours."""
    if folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or (folder / marker).is_file())):
        raise CheckpointError(f"{folder} holds other files; name a folder that is new, empty or a checkpoint")


def _carry_over(old: Path, new: Path, ours: str) -> None:
    """Move hidden entries of a folder into the one that replaces it. Raises CheckpointError for what would be lost."""
    beside = [each for each in sorted(old.iterdir()) if not (new / each.name).exists()]
    hidden = [each for each in beside if each.name.startswith(".")]
    lost = [each.name for each in beside if each not in hidden and not fnmatch(each.name, ours)]
    if lost:
        raise CheckpointError(
            f"{old} holds {', '.join(lost)} too, which would be lost; move it, or name another folder"
        )
    for each in hidden:
        each.rename(new / each.name)


def check_no_input(place: Path, option: str, *inputs: Path, ours: str = "") -> None:
    """Raise StoreError if what a command writes would replace what it reads: one of `inputs`, or a file inside such a folder.

    ours: the name of the file that the command itself leaves there.
    """
    for given in inputs:
        inside = place.exists() and place.resolve().is_relative_to(given.resolve())
        if inside and (place.name != ours or not given.is_dir()):
            raise StoreError(f"{place} is part of what is read; name another place with {option}")


@contextmanager
def alone_in(folder: Path, option: str) -> Iterator[None]:
    """A block in which no other command fills `folder`, which is made. Raises StoreError naming the option if one does.

    The kernel lets go when the process dies, and nothing is left behind; where folders cannot be locked, nothing is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # of file systems without locks
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as err:
                what = f"another command writes into {folder}"
                raise StoreError(f"{what}; wait for it, or name another folder with {option}") from err
        yield
    finally:
        os.close(opened)


def sealed(folder: Path) -> Path | None:
    """The finished stage or the saved network that a folder is, or lies in: a file more, and its digest is another's."""
    for each in (folder.resolve(), *folder.resolve().parents):
        stage = STAGE.fullmatch(each.name) and (each / "manifest.json").is_file()
        if stage or any((each / name).is_file() for name in SAVED):
            return each
    return None


def check_writable(folder: Path, option: str) -> None:
    """Try whether `folder` can be written, or made, and nothing finished is; nothing is left behind.

    Raises StoreError naming the option.
    """
    try:
        inside = sealed(folder)
    except OSError as err:  # a name that is too long
        raise StoreError(
            f"cannot write in {folder} ({err.strerror or err}); choose another folder with {option}"
        ) from err
    if inside is not None:
        raise StoreError(f"{folder} belongs to {inside}, which is finished; choose another folder with {option}")
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as err:
        reason = err.strerror or str(err)
        raise StoreError(f"cannot write in {folder} ({reason}); choose another folder with {option}") from err


def sha256_of(*files: Path) -> str:
    """sha256 of the contents of files, one after the other, in hexadecimal digits."""
    whole = hashlib.sha256()
    for file in files:
        feed(whole, file)
    return whole.hexdigest()


def feed(whole: hashlib._Hash, file: Path) -> None:
    """Add a file's content to a digest, a block at a time: a large network never lies in memory twice."""
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            whole.update(block)
