from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from aptp_bench.generation.images import write_image
from aptp_bench.harness import contact_sheet

CAPTIONS = [f"caption {i}" for i in range(20)]


def drawn(folder: Path, count: int, height: int = 8, width: int = 8) -> torch.Tensor:
    """`count` images in a folder; they, [n, H, W, 3]."""
    images = torch.randint(
        0, 256, (count, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    for index, image in enumerate(images):
        write_image(folder, index, image)
    return images


def pixels(png: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(png)))


def test_a_sheet_is_the_first_images_in_one_row(tmp_path: Path) -> None:
    images = drawn(tmp_path, 10)
    png, facts = contact_sheet.sheet(tmp_path, CAPTIONS)
    assert (pixels(png) == torch.cat(list(images[: contact_sheet.SHOWN]), dim=1).numpy()).all()
    assert facts.captions == CAPTIONS[: contact_sheet.SHOWN] and facts.edge == 8
    assert facts.sha256 == hashlib.sha256(png).hexdigest()


def test_fewer_prompts_make_a_shorter_sheet(tmp_path: Path) -> None:
    drawn(tmp_path, 3)
    png, facts = contact_sheet.sheet(tmp_path, CAPTIONS[:3])
    assert pixels(png).shape == (8, 24, 3) and len(facts.captions) == 3


def test_large_images_are_scaled_down_and_none_is_scaled_up(tmp_path: Path) -> None:
    drawn(tmp_path / "large", 2, 300, 300)
    png, facts = contact_sheet.sheet(tmp_path / "large", CAPTIONS[:2])
    edge = contact_sheet.EDGE
    assert pixels(png).shape == (edge, 2 * edge, 3) and facts.edge == edge
    flat = torch.full((300, 300, 3), 77, dtype=torch.uint8)
    write_image(tmp_path / "flat", 0, flat)
    assert (pixels(contact_sheet.sheet(tmp_path / "flat", CAPTIONS[:1])[0]) == 77).all()


def test_a_sheet_lies_beside_its_records_folder() -> None:
    assert contact_sheet.path_of(Path("results/records/norm.x.json")) == Path("results/samples/norm.x.png")


def test_only_the_sheet_that_the_record_names_is_read(tmp_path: Path) -> None:
    drawn(tmp_path / "images", 8)
    (png, facts), record = contact_sheet.sheet(tmp_path / "images", CAPTIONS), tmp_path / "records" / "a.json"
    assert contact_sheet.read(record, facts) is None  # not there
    (tmp_path / "samples").mkdir()
    contact_sheet.path_of(record).write_bytes(png)
    assert contact_sheet.read(record, facts) == png
    assert contact_sheet.read(record, None) is None
    contact_sheet.path_of(record).write_bytes(png[:-1])
    assert contact_sheet.read(record, facts) is None
