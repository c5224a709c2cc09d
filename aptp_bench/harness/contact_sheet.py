"""The first images of a run in one row: what a leaderboard can show of a run long after its images are gone."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

from aptp_bench.records import Samples

SHOWN = 8  # prompts; the same ones in every run of a data set
EDGE = 128  # pixels of a tile at most: a sheet of SD 2.1's images has 200 kB

FOLDER = "samples"


def sheet(images: Path, captions: Sequence[str]) -> tuple[bytes, Samples]:
    """A PNG of the first SHOWN images of a folder of numbered PNGs, and what a record says of it.

    Raises DataError naming a broken image.
    """
    from PIL import Image

    from aptp_bench.generation.images import image_path, read_image

    first = list(captions[:SHOWN])
    tiles = [Image.fromarray(read_image(image_path(images, i)).numpy()) for i in range(len(first))]
    edge = min(EDGE, max(tile.height for tile in tiles))
    row = Image.new("RGB", (edge * len(tiles), edge))
    for place, tile in enumerate(tiles):
        if tile.size != (edge, edge):
            tile = tile.resize((edge, edge), Image.Resampling.LANCZOS)
        row.paste(tile, (place * edge, 0))
    stream = io.BytesIO()
    row.save(stream, format="PNG", optimize=True)
    png = stream.getvalue()
    return png, Samples(captions=first, edge=edge, sha256=hashlib.sha256(png).hexdigest())


def path_of(record: Path) -> Path:
    """Where the sheet of the record file `results`/records/NAME.json lies: `results`/samples/NAME.png."""
    return record.parent.parent / FOLDER / f"{record.stem}.png"


def read(record: Path, facts: Samples | None) -> bytes | None:
    """The sheet of a record file if it is there and is the one that its record names."""
    path = path_of(record)
    if facts is None or not path.is_file():
        return None
    png = path.read_bytes()
    return png if hashlib.sha256(png).hexdigest() == facts.sha256 else None
