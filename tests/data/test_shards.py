"""CC3M in shards as img2dataset writes them: whole pairs in order, broken ones counted, nothing written anywhere."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aptp_bench.data.cc3m import CC3M
from aptp_bench.errors import DataError
from aptp_bench.harness.inputs import split_rows


def picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 5), (number, 0, 0)).save(file, "png")
    return file.getvalue()


def shard(path: Path, members: list[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def pair(number: int, key: str | None = None, **other: bytes) -> list[tuple[str, bytes]]:
    """What img2dataset leaves of one image. other: another content by suffix, None for none."""
    facts = json.dumps({"caption": f"caption {number}", "status": "success"}).encode()
    parts: dict[str, Any] = {"png": picture(number), "json": facts, "txt": f"caption {number}\n".encode()} | other
    return [(f"{key or f'{number:09d}'}.{suffix}", content) for suffix, content in parts.items() if content is not None]


def test_a_split_is_a_word_of_a_shards_name(tmp_path: Path) -> None:
    shard(tmp_path / "retrieval-train-0000.tar", pair(1) + pair(2))
    shard(tmp_path / "retrieval-val-0000.tar", pair(3))
    assert reds(CC3M(root=tmp_path).load("val")) == [3] and reds(CC3M(root=tmp_path).load("train")) == [1, 2]


def reds(data: Any) -> list[int]:
    return [row["image"].getpixel((0, 0))[0] for row in data]


@pytest.mark.parametrize(
    "names", [("train/00000.tar", "train/00001.tar"), ("cc3m-train-0000.tar", "cc3m-train-0001.tar")]
)
def test_pairs_come_in_the_order_of_the_shards(names: tuple[str, str], tmp_path: Path) -> None:
    shard(tmp_path / names[1], pair(3) + pair(4))
    shard(tmp_path / names[0], pair(1) + pair(2))
    data = CC3M(root=tmp_path).load("train")
    assert list(data["caption"]) == [f"caption {i}" for i in range(1, 5)] and reds(data) == [1, 2, 3, 4]
    assert reds(CC3M(root=tmp_path).load("train", limit=3)) == [1, 2, 3]
    with pytest.raises(DataError, match="tar files"):
        CC3M(root=tmp_path).load("val")


def test_broken_members_are_left_out_and_counted(tmp_path: Path) -> None:
    broken = pair(2, png=b"no picture") + pair(3, txt=None) + pair(4, txt=b" \n") + pair(5, png=None)
    shard(tmp_path / "train" / "0.tar", pair(1) + broken + pair(6))
    data = CC3M(root=tmp_path).load("train")
    assert reds(data) == [1, 6] and "4 pairs left out" in data.info.description


def test_a_member_that_pillow_stumbles_over_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumbles(*_: Any, **__: Any) -> None:
        raise TypeError("not what a reader should raise")

    shard(tmp_path / "train" / "0.tar", pair(1))
    monkeypatch.setattr("PIL.Image.open", stumbles)
    with pytest.raises(DataError, match="no pair is left; 1 pairs left out"):
        CC3M(root=tmp_path).load("train")


def test_a_shard_that_ends_early_keeps_what_is_whole(tmp_path: Path) -> None:
    whole = shard(tmp_path / "train" / "0.tar", [*pair(1), ("000000002.txt", b"cut"), ("000000002.png", b"x" * 9000)])
    whole.write_bytes(whole.read_bytes()[:5000])
    data = CC3M(root=tmp_path).load("train")
    assert reds(data) == [1] and "1 pairs left out" in data.info.description
    assert f"1 shards end early, first {whole}" in data.info.description
    (tmp_path / "train" / "1.tar").write_bytes(b"this is no tar" * 100)
    with pytest.raises(DataError, match=r"1\.tar is no tar file"):
        CC3M(root=tmp_path).load("train")


@pytest.mark.parametrize("cut", [False, True])
def test_a_loss_between_two_members_is_said(cut: bool, tmp_path: Path) -> None:
    """Python's tarfile ends there without a word."""
    path = shard(tmp_path / "train" / "0.tar", pair(1) + pair(2) + pair(3))
    with tarfile.open(path) as tar:
        third = tar.getmembers()[6].offset
    content = path.read_bytes()
    path.write_bytes(content[:third] if cut else content[:third] + b"\xff" * 512 + content[third + 512 :])
    data = CC3M(root=tmp_path).load("train")
    assert reds(data) == [1, 2] and "1 shards end early" in data.info.description


def test_whole_shards_have_nothing_to_say(tmp_path: Path) -> None:
    shard(tmp_path / "train" / "0.tar", pair(1))
    assert ";" not in CC3M(root=tmp_path).load("train").info.description


def test_entries_that_are_no_pairs_are_refused_with_what_a_pair_is(tmp_path: Path) -> None:
    members = pair(1) + pair(2)
    shard(tmp_path / "train" / "0.tar", sorted(members, key=lambda member: member[0].rpartition(".")[2]))
    with pytest.raises(DataError, match=r"no pair is left; 6 pairs left out: .* of the same name beside it"):
        split_rows(CC3M(root=tmp_path), "train", 10)


def test_names_and_links_lead_nowhere(tmp_path: Path) -> None:
    home, outside = tmp_path / "cc3m", tmp_path / "secret.png"
    outside.write_bytes(picture(99))
    names = ("../../escaped", "/tmp/escaped", "..", "a/../../b", "C:\\\\x", ".")
    members = [member for i, name in enumerate(names) for member in pair(i, name)]
    path = shard(home / "train" / "0.tar", members)
    with tarfile.open(path, "a") as tar:
        for kind, target in ((tarfile.SYMTYPE, str(outside)), (tarfile.LNKTYPE, "../../secret.png")):
            link = tarfile.TarInfo("link.png")
            link.type, link.linkname = kind, target
            tar.addfile(link)
        text = tarfile.TarInfo("link.txt")
        text.size = 4
        tar.addfile(text, io.BytesIO(b"link"))
    before = sorted(tmp_path.rglob("*"))
    data = CC3M(root=home).load("train")
    assert "link" not in list(data["caption"]) and 99 not in reds(data)
    assert reds(data) == list(range(len(names)))
    assert sorted(tmp_path.rglob("*")) == before


def test_an_image_that_breaks_later_is_named_by_its_place(tmp_path: Path) -> None:
    content = picture(7)
    start = content.index(b"IDAT") + 4
    spoilt = content[:start] + bytes(255 - each for each in content[start:])
    shard(tmp_path / "train" / "0.tar", pair(7, png=spoilt))
    data = CC3M(root=tmp_path).load("train")
    with pytest.raises(DataError, match=r"0\.tar#\d+\+\d+ is broken"):
        data[0]


@pytest.mark.parametrize(
    "text", ["caf\u00e9".encode("latin-1"), "a car".encode("utf-16"), "\u200b".encode(), b"a\0", b"a " * 600_000]
)
def test_a_caption_that_is_no_text_is_left_out_and_counted(tmp_path: Path, text: bytes) -> None:
    shard(tmp_path / "train" / "0.tar", pair(1, txt=text) + pair(2, txt=b"\xef\xbb\xbfa car"))
    data = CC3M(root=tmp_path).load("train")
    assert list(data["caption"]) == ["a car"] and "1 pairs left out" in data.info.description


def test_of_two_that_have_one_key_none_is_guessed(tmp_path: Path) -> None:
    twice = [*pair(1), ("000000001.png", picture(9))]
    shard(
        tmp_path / "train" / "0.tar",
        twice + pair(2) + pair(3, "000000004", jpg=picture(9)) + pair(5) + pair(6, "000000002"),
    )
    data = CC3M(root=tmp_path).load("train")
    assert reds(data) == [2, 5] and "3 pairs left out" in data.info.description


@pytest.mark.parametrize("name", ["1.tar", "1.tar.gz", "1.tgz"])
def test_a_compressed_shard_says_so(tmp_path: Path, name: str) -> None:
    path = shard(tmp_path / "train" / "0.tar", pair(1))
    (tmp_path / "train" / name).write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(DataError, match="unpack it"):
        CC3M(root=tmp_path).load("train")
