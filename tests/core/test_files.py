from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from aptp_bench.core.files import check_writable, content, sha256_of, write_text, write_whole, written_aside
from aptp_bench.errors import CheckpointError, StoreError


def test_a_file_is_written_whole_and_again(tmp_path):
    path = write_text(tmp_path / "new" / "page.html", "<p>ä</p>\n")
    assert path.read_bytes() == "<p>ä</p>\n".encode()
    assert write_text(path, "short\n").read_text() == "short\n"
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]


def test_what_fails_leaves_the_old_file(tmp_path):
    path = write_text(tmp_path / "a.txt", "old")
    with pytest.raises(ZeroDivisionError):
        write_whole(path, lambda aside: 1 / 0)
    assert path.read_text() == "old"


def test_what_fails_leaves_nothing_beside_it(tmp_path):
    def broken(aside):
        aside.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="No space left"):
        write_whole(tmp_path / "a.txt", broken)
    assert not list(tmp_path.iterdir())


def test_links_are_written_through_and_what_is_no_file_stays(tmp_path):
    path = write_text(tmp_path / "a.txt", "old")
    (tmp_path / "link").symlink_to(path)
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and path.read_text() == "new"
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    for name in ("lost", "pipe", "x" * 300):
        with pytest.raises(StoreError, match=name[:20]):
            write_text(tmp_path / name, "new")
    with pytest.raises(StoreError, match="null"):
        write_text(Path("/dev/null"), "new")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode) and not (tmp_path / "nowhere").exists()
    assert write_text(tmp_path / ("y" * 250), "new").read_text() == "new"


def test_a_file_or_a_pipe_is_read_and_nothing_is_waited_for(tmp_path):
    assert content(write_text(tmp_path / "a.txt", "a\n")) == b"a\n"
    os.mkfifo(tmp_path / "pipe")
    assert content(tmp_path / "pipe") == b""  # nobody writes
    reading, writing = os.pipe()
    os.write(writing, b"piped")
    threading.Timer(0.1, os.close, [writing]).start()  # as of <(command), which is still at it
    assert content(Path(f"/dev/fd/{reading}")) == b"piped"
    os.close(reading)
    for path in (tmp_path, Path("/dev/zero"), tmp_path / "nowhere"):
        with pytest.raises(OSError):
            content(path)


def test_a_folder_of_someone_else_is_not_replaced(tmp_path):
    for marker in ("", "mine"):
        with written_aside(tmp_path / "made", marker="mark") as aside:
            (aside / "mark").write_text(marker)
    assert (tmp_path / "made" / "mark").read_text() == "mine"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "theirs").write_text("")
    with pytest.raises(CheckpointError, match="other files"), written_aside(tmp_path / "other", marker="mark"):
        pass


def test_what_a_new_folder_would_lose_is_said_and_what_is_hidden_is_kept(tmp_path):
    def made(*names):
        with written_aside(tmp_path / "made", marker="mark", ours="part-*") as aside:
            for name in ("mark", *names):
                (aside / name).write_text("")

    made("part-0", "part-1")
    (tmp_path / "made" / ".git").mkdir()
    made("part-0")
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == [".git", "mark", "part-0"]
    (tmp_path / "made" / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=r"notes\.txt"):
        made("part-0", "part-1")
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == [".git", "mark", "notes.txt", "part-0"]


def test_a_digest_is_of_the_contents_in_order(tmp_path):
    one, other = write_text(tmp_path / "1", "a"), write_text(tmp_path / "2", "b")
    assert sha256_of(one, other) == sha256_of(write_text(tmp_path / "3", "ab")) != sha256_of(other, one)


@pytest.mark.parametrize(
    "fault", [OSError(errno.ENOSPC, "No space left"), RuntimeError("I/O error: No space left (os error 28)")]
)
def test_a_full_disk_names_the_outermost_folder_whoever_writes(tmp_path, fault):
    """safetensors writes in Rust, whose errors are no OSError."""
    with (
        pytest.raises(CheckpointError, match=f"^{tmp_path / 'whole'} cannot be written .*No space left"),
        written_aside(tmp_path / "whole", marker="m") as outer,
        written_aside(outer / "part", marker="m"),
    ):
        raise fault
    with pytest.raises(StoreError, match=r"a\.bin cannot be written .*No space left"):
        write_whole(tmp_path / "a.bin", lambda aside: throw(fault))
    assert not any(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError), written_aside(tmp_path / "whole", marker="m"):  # of what is read
        raise FileNotFoundError(errno.ENOENT, "gone")


def throw(fault):
    raise fault


@pytest.mark.parametrize("inside", ["generate-0123456789ab/images", "pipe/vae", "mixture", "pipe"])
def test_nothing_is_written_into_what_is_finished(tmp_path, inside):
    for name in ("generate-0123456789ab/manifest.json", "pipe/model_index.json", "mixture/mixture.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("{}")
    with pytest.raises(StoreError, match="finished; choose another folder with --out"):
        check_writable(tmp_path / inside, "--out")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "manifest.json").write_text("{}")  # anybody's
    check_writable(tmp_path / "site", "--out")
    check_writable(tmp_path, "--out")
