"""Pairs in tar files as img2dataset and webdataset lay them: 000000000.jpg, .txt and .json of one pair side by side.

Nothing is unpacked: an image is read where it lies in its shard, and what a member is called never becomes a path.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from aptp_bench.core.names import natural
from aptp_bench.data import images, table
from aptp_bench.errors import DataError

if TYPE_CHECKING:
    import datasets
    from PIL import Image

LONGEST = 2**20  # bytes of a caption that is read
LACKING = "no image that can be read with its caption in a .txt of the same name beside it"


class Pair(NamedTuple):
    """Where an image lies in a shard, in bytes, and what it shows."""

    shard: Path
    start: int
    size: int
    caption: str


def of_split(root: Path, names: Sequence[str]) -> list[Path]:
    """The shards of a split in order: those in folders of these names, else those in `root` that have one as a word of their name."""

    def words(path: Path) -> set[str]:
        return set(re.split(r"[^a-z]+", path.stem.lower()))  # "retrieval-0001" is no "val"

    inside = [path for name in names for path in (root / name).glob("*.tar")]
    found = inside or [path for path in root.glob("*.tar") if not words(path).isdisjoint(names)]
    return sorted(found, key=lambda path: natural(str(path)))


def load(shards: Sequence[Path], limit: int | None, note: str) -> datasets.Dataset:
    """The first `limit` pairs, images read when they are looked at. note: begins the description, which says what was left out.

    Raises DataError for a file that is no tar.
    """
    wanted, found, left_out, broken = table.first(limit, 2**63), list[Pair](), 0, list[Path]()
    for pair in (each for shard in shards for each in pairs(shard, broken)):
        if len(found) == wanted:
            break
        left_out += pair is None
        found += [] if pair is None else [pair]
    places = [f"{pair.shard}#{pair.start}+{pair.size}" for pair in found]
    said = [f"{left_out} pairs left out: {LACKING}"] if left_out else []
    said += [f"{len(broken)} shards end early, first {broken[0]}: what follows there was left out"] if broken else []
    return table.of_files(places, [pair.caption for pair in found], "; ".join([note, *said]), _decoded)


def pairs(shard: Path, broken: list[Path]) -> Iterator[Pair | None]:
    """The pairs of a shard; None where there is no caption, or no image whose head can be read. Raises DataError.

    broken: the shard is put there if it has no end, or something else where its next member should be.
    """
    try:
        with tarfile.open(shard, "r:") as tar, shard.open("rb") as file:
            end = shard.stat().st_size
            for _, members in groupby(_entries(tar), key=lambda member: member.name.rpartition(".")[0]):
                whole = [member for member in members if member.isfile() and member.offset_data + member.size <= end]
                yield _pair(tar, shard, {f".{member.name.rpartition('.')[2].lower()}": member for member in whole})
            file.seek(tar.offset)
            broken += [] if file.read(tarfile.BLOCKSIZE) == tarfile.NUL * tarfile.BLOCKSIZE else [shard]
    except (OSError, tarfile.TarError) as err:
        raise DataError(f"{shard} is no tar file ({err}); download it again, or remove it") from err


def _entries(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """All that is no folder, as far as the file goes: a download that broke off ends where it ends."""
    try:
        yield from (member for member in tar if not member.isdir())
    except tarfile.ReadError:
        return


def _pair(tar: tarfile.TarFile, shard: Path, members: dict[str, tarfile.TarInfo]) -> Pair | None:
    picture = next((members[suffix] for suffix in sorted(images.SUFFIXES) if suffix in members), None)
    text = members.get(".txt")
    if picture is None or text is None:
        return None
    written, drawn = (cast(IO[bytes], tar.extractfile(member)) for member in (text, picture))  # both are files
    caption = written.read(LONGEST).decode(errors="replace").strip()
    whole = bool(caption) and images.opens(drawn)
    return Pair(shard, picture.offset_data, picture.size, caption) if whole else None


def _decoded(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Rows with their images; see table.of_files."""
    return {**batch, "image": [_read(cell["path"]) for cell in batch["image"]]} if "image" in batch else batch


def _read(place: str) -> Image.Image:
    shard, _, span = place.rpartition("#")
    start, _, size = span.partition("+")
    try:
        with open(shard, "rb") as file:
            file.seek(int(start))
            return images.read(io.BytesIO(file.read(int(size))), place)
    except OSError as err:
        raise DataError(f"{shard} cannot be read ({err}); restore it") from err
