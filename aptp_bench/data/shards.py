"""Pairs in tar files as img2dataset and webdataset lay them: 000000000.jpg, .txt and .json of one pair side by side.

Nothing is unpacked: an image is read where it lies in its shard, and what a member is called never becomes a path.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from aptp_bench.core.names import natural
from aptp_bench.core.texts import decoded, flaw
from aptp_bench.data import images, table
from aptp_bench.errors import DataError

if TYPE_CHECKING:
    import datasets
    from PIL import Image

LONGEST = 2**20  # bytes of a caption that is read
LACKING = "no image that can be read with its caption in a .txt of the same name beside it"
ENDS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
UNPACK = "unpack it to a .tar: gunzip, bunzip2, unxz or unzstd"


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

    inside = [path for name in names for path in _tars(root / name)]
    found = inside or [path for path in _tars(root) if not words(path).isdisjoint(names)]
    if packed := [path for path in found if path.suffix != ".tar"]:
        raise DataError(f"{min(packed)} is compressed, and pairs are read where they lie; {UNPACK}")
    return sorted(found, key=lambda path: natural(str(path)))


def _tars(folder: Path) -> list[Path]:
    """The shards of a folder, and those that would be some if they were not compressed; hidden files are none."""
    names = [path for path in folder.glob("*") if not path.name.startswith(".")]
    return [path for path in names if path.name.lower().endswith(ENDS)]


def load(shards: Sequence[Path], limit: int | None, note: str) -> datasets.Dataset:
    """The first `limit` pairs, images read when they are looked at. note: begins the description, which says what was left out.

    Raises DataError for a file that is no tar, and where there is no pair in any.
    """
    wanted, found, left_out, broken = table.first(limit, 2**63), list[Pair](), 0, list[Path]()
    for pair in (each for shard in shards for each in pairs(shard, broken)):
        if len(found) == wanted:
            break
        left_out += pair is None
        found += [] if pair is None else [pair]
    said = [f"{left_out} pairs left out: {LACKING}"] if left_out else []
    said += [f"{len(broken)} shards end early, first {broken[0]}: what follows there was left out"] if broken else []
    if wanted and not found:
        lost = "; ".join(["no pair is left", *said])
        raise DataError(f"{note}: {lost}; lay each image and its caption side by side: 0.jpg, 0.txt")
    places = [f"{pair.shard}#{pair.start}+{pair.size}" for pair in found]
    return table.of_files(places, [pair.caption for pair in found], "; ".join([note, *said]), _decoded)


def pairs(shard: Path, broken: list[Path]) -> Iterator[Pair | None]:
    """The pairs of a shard; None where there is no caption, or no image whose head can be read. Raises DataError.

    broken: the shard is put there if it has no end, or something else where its next member should be.
    """
    seen = set[str]()
    try:
        with tarfile.open(shard, "r:") as tar, shard.open("rb") as file:
            end = shard.stat().st_size
            for key, members in groupby(_entries(tar), key=lambda member: member.name.rpartition(".")[0]):
                whole = [member for member in members if member.isfile() and member.offset_data + member.size <= end]
                yield None if key in seen else _pair(tar, shard, whole)
                seen.add(key)
            file.seek(tar.offset)
            broken += [] if file.read(tarfile.BLOCKSIZE) == tarfile.NUL * tarfile.BLOCKSIZE else [shard]
    except (OSError, tarfile.TarError) as err:
        fix = UNPACK if _compressed(shard) else "download it again, or remove it"
        raise DataError(f"{shard} is no tar file ({err}); {fix}") from err


def _compressed(shard: Path) -> bool:
    with suppress(OSError), shard.open("rb") as file:
        return file.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))
    return False


def _entries(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """All that is no folder, as far as the file goes: a download that broke off ends where it ends."""
    try:
        yield from (member for member in tar if not member.isdir())
    except tarfile.ReadError:
        return


def _pair(tar: tarfile.TarFile, shard: Path, members: list[tarfile.TarInfo]) -> Pair | None:
    """The pair of a key; None also where two images, or two captions, have it: which belong together is not known."""
    by_kind = [(f".{member.name.rpartition('.')[2].lower()}", member) for member in members]
    pictures = [member for suffix, member in by_kind if suffix in images.SUFFIXES]
    texts = [member for suffix, member in by_kind if suffix == ".txt"]
    if len(pictures) != 1 or len(texts) != 1:
        return None
    written, drawn = (cast(IO[bytes], tar.extractfile(member)) for member in (texts[0], pictures[0]))  # both are files
    try:
        caption = decoded(written.read(LONGEST), str(shard), "").strip()
    except DataError:
        return None
    whole = flaw(caption) is None and images.opens(drawn)
    return Pair(shard, pictures[0].offset_data, pictures[0].size, caption) if whole else None


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
