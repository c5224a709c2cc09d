"""Reading and naming image files."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aptp_bench.data import images
from aptp_bench.errors import DataError


def _save(path: Path, size: tuple[int, int] = (40, 24), mode: str = "RGB") -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1"])
def test_every_mode_is_read_as_rgb(tmp_path: Path, mode: str) -> None:
    assert images.read(_save(tmp_path / "a.png", mode=mode)).mode == "RGB"


def test_a_broken_or_missing_image_is_named(tmp_path: Path) -> None:
    path = _save(tmp_path / "cut.jpg", (200, 200))
    path.write_bytes(path.read_bytes()[:2_000])
    (tmp_path / "a.png").write_text("not an image")
    for name, words in (("cut.jpg", "broken"), ("a.png", "broken"), ("gone.png", "missing")):
        with pytest.raises(DataError, match=f"{name} is {words}") as caught:
            images.read(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "TGA", "DDS"])
def test_only_the_kinds_that_suffixes_name_are_read(tmp_path: Path, kind: str) -> None:
    """Of a content that Pillow has another reader for."""
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", kind)
    with pytest.raises(DataError, match=r"a\.png is broken"):
        images.read(tmp_path / "a.png")


def test_whatever_pillow_raises_names_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _save(tmp_path / "a.jpg")
    for fault in (struct.error("no"), TypeError("no"), RuntimeError("no"), NotImplementedError(), AttributeError("no")):

        def raises(*_: object, fault: Exception = fault) -> None:
            raise fault

        monkeypatch.setattr(images, "rgb", raises)
        with pytest.raises(DataError, match=r"a\.jpg is broken"):
            images.read(path)


def test_a_turned_photograph_with_a_mistyped_tag_is_named(tmp_path: Path) -> None:
    tags = [(0x0100, 2, 4, b"abc\0"), (0x0112, 3, 1, struct.pack("<HH", 6, 0))]  # a width of letters, turned
    entries = b"".join(struct.pack("<HHI", *tag) + value for *tag, value in tags)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0" * 4
    Image.new("RGB", (8, 4)).save(tmp_path / "a.jpg", exif=exif)
    with pytest.raises(DataError, match=r"a\.jpg"):
        images.read(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    "name",
    ["../a.png", "x/../../a.png", "/etc/passwd", "..", "", "a\0.png", "..\\a.png", "C:\\a.png", "\\\\host\\a.png"],
)
def test_names_never_lead_out_of_their_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="leads out of"):
        images.inside(tmp_path, name)


def test_links_never_lead_out_of_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match="leads out of"):
        images.inside(folder, "link.png")


def test_names_below_the_folder_are_fine(tmp_path: Path) -> None:
    assert images.inside(tmp_path, "00001/a.png") == tmp_path / "00001" / "a.png"


def test_listed_sorts_images_and_skips_the_rest(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "captions.txt", "c.webp"):
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in images.listed(tmp_path)] == ["a.JPG", "b.png", "c.webp"]
    with pytest.raises(DataError, match="there is no folder"):
        images.listed(tmp_path / "none")


def test_listed_follows_the_numbers_and_leaves_hidden_files_out(tmp_path: Path) -> None:
    for name in ("10.png", "9.png", "1.png", "._1.png"):
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in images.listed(tmp_path)] == ["1.png", "9.png", "10.png"]
    (tmp_path / "2.tiff").write_bytes(b"")
    with pytest.raises(DataError, match=r"2\.tiff"):
        images.listed(tmp_path)


@pytest.mark.parametrize("suffix", ["ppm", "tga", "heif", "jpe", "APNG"])
def test_images_of_kinds_that_are_not_read_are_not_left_out(tmp_path: Path, suffix: str) -> None:
    _save(tmp_path / "1.png")
    (tmp_path / f"2.{suffix}").write_bytes(b"")
    with pytest.raises(DataError, match=f"2.{suffix}"):
        images.listed(tmp_path)


def test_every_suffix_that_pillow_reads_is_an_image() -> None:
    Image.init()
    no_pictures = {".bufr", ".grib", ".h5", ".hdf", ".mpeg", ".mpg", ".pdf"}
    assert Image.registered_extensions().keys() - images.SUFFIXES - images.OTHERS <= no_pictures


@pytest.mark.parametrize("kind", ["gone", "loop", "pipe", "folder", "below", "deep"])
def test_what_is_called_an_image_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    _save(tmp_path / "1.png")
    odd = tmp_path / "2.png"
    {
        "gone": lambda: odd.symlink_to(tmp_path / "nowhere.png"),
        "loop": lambda: odd.symlink_to(odd),
        "pipe": lambda: os.mkfifo(odd),
        "folder": odd.mkdir,
        "below": lambda: shutil.copytree(tmp_path, tmp_path / "more"),
        "deep": lambda: shutil.copytree(tmp_path, tmp_path / "more" / "and" / "more"),
    }[kind]()
    with pytest.raises(DataError, match="more" if kind in ("below", "deep") else r"2\.png"):
        images.listed(tmp_path)


def test_what_is_no_image_stays_where_it_is(tmp_path: Path) -> None:
    _save(tmp_path / "1.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "1.png")
    for name in ("notes.txt", "Thumbs.db", ".DS_Store", ".2.gif"):
        (tmp_path / name).write_bytes(b"")
    for name in (".thumbnails", "notes"):
        (tmp_path / name).mkdir()
    _save(tmp_path / ".thumbnails" / "1.png")
    (tmp_path / "notes" / "a.txt").write_bytes(b"")
    assert [path.name for path in images.listed(tmp_path)] == ["1.png", "link.png"]


def test_a_photograph_stands_upright(tmp_path: Path) -> None:
    pixels = np.zeros((4, 8, 3), dtype=np.uint8)
    pixels[:, :4] = (255, 0, 0)  # the left half is red
    for turned, where in ((1, (1, 2)), (6, (2, 1)), (3, (6, 2)), (8, (2, 6))):
        exif = Image.Exif()
        exif[0x0112] = turned
        Image.fromarray(pixels).save(tmp_path / f"{turned}.png", exif=exif)
        found = images.read(tmp_path / f"{turned}.png")
        assert found.size == ((8, 4) if turned in (1, 3) else (4, 8))
        assert found.getpixel(where) == (255, 0, 0)


def test_transparent_pixels_are_white_and_half_of_them_half(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[255, 0, 0, a] for a in (0, 128, 255)]], dtype=np.uint8)).save(tmp_path / "a.png")
    found = np.asarray(images.read(tmp_path / "a.png"))[0].tolist()
    assert found[0] == [255, 255, 255] and found[2] == [255, 0, 0]
    assert found[1][0] == 255 and abs(found[1][1] - 127) <= 1
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), "L").convert("P")
    palette.save(tmp_path / "p.png", transparency=0)
    assert np.asarray(images.read(tmp_path / "p.png"))[0, 0].tolist() == [255, 255, 255]


def _png(path: Path, bits: int, colours: int, row: bytes, clear: tuple[int, ...]) -> Path:
    """A row of pixels as the format has it, one colour of which is transparent."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    pixels = len(row) * 8 // (bits * colours)
    head = struct.pack(">IIBBBBB", pixels, 1, bits, 0 if colours == 1 else 2, 0, 0, 0)
    parts = [
        (b"IHDR", head),
        (b"tRNS", struct.pack(f">{colours}H", *clear)),
        (b"IDAT", zlib.compress(b"\0" + row)),
        (b"IEND", b""),
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    return path


def test_a_transparent_colour_is_white_at_every_depth(tmp_path: Path) -> None:
    for bits, row, clear in (
        (2, b"\x1b", 1),
        (4, b"\x05\xa0", 5),
        (8, b"\x00\x05", 5),
        (16, b"\x03\xe8\x07\xd0", 1000),
    ):
        found = np.asarray(images.read(_png(tmp_path / "grey.png", bits, 1, row, (clear,))))[0, :, 0].tolist()
        assert found[0 if bits == 16 else 1] == 255, bits
        assert found[1 if bits == 16 else 0] == (8 if bits == 16 else 0), bits
    red = struct.pack(">6H", 0xFFFF, 0, 0, 0x8000, 0, 0)
    found = np.asarray(images.read(_png(tmp_path / "red.png", 16, 3, red, (0x8000, 0, 0))))[0].tolist()
    assert found == [[255, 0, 0], [255, 255, 255]]


def test_sixteen_bits_keep_their_greys(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65_535, 256).round().astype(np.uint16)[None]
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    found = np.asarray(images.read(tmp_path / "deep.png"))[0, :, 0]
    assert np.array_equal(found, np.arange(256))


@pytest.mark.parametrize("suffix", ["webp", "png"])
def test_moving_pictures_are_refused(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (4, 4), (i, 0, 0)) for i in (0, 200)]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="2 frames"):
        images.read(tmp_path / f"a.{suffix}")


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    with pytest.raises(DataError, match=r"bomb\.png"):
        images.read(tmp_path / "bomb.png")


def _with_chunk(path: Path, kind: bytes, data: bytes) -> Path:
    """A PNG with one more chunk before its pixels."""
    Image.new("RGB", (4, 4), (200, 100, 50)).save(path)
    whole = path.read_bytes()
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(whole[:33] + chunk + whole[33:])
    return path


def test_a_damaged_png_never_gives_other_pixels(tmp_path: Path) -> None:
    """Its checksums know; Pillow looks at none of the pixels'."""
    rows, columns = np.mgrid[0:32, 0:32]
    pixels = np.stack([columns * 8, rows * 8, rows + columns], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    for at in range(8, len(whole), 5):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :]):
            (tmp_path / "damaged.png").write_bytes(damaged)
            with pytest.raises(DataError, match=r"damaged\.png"):
                images.read(tmp_path / "damaged.png")
    assert np.array_equal(np.asarray(images.read(tmp_path / "whole.png")), pixels)


@pytest.mark.parametrize(
    ("kind", "data", "is_srgb"),
    [
        (b"gAMA", struct.pack(">I", 45_455), True),
        (b"gAMA", struct.pack(">I", 100_000), False),
        (b"cICP", bytes((1, 13, 0, 1)), True),
        (b"cICP", bytes((9, 16, 0, 1)), False),
        (b"cHRM", struct.pack(">8I", *range(8)), True),  # without a gamma viewers do not look at it
    ],
)
def test_a_png_that_says_other_colours_is_refused(tmp_path: Path, kind: bytes, data: bytes, is_srgb: bool) -> None:
    path = _with_chunk(tmp_path / "a.png", kind, data)
    if is_srgb:
        assert np.asarray(images.read(path))[0, 0].tolist() == [200, 100, 50]
    else:
        with pytest.raises(DataError, match=kind.decode()):
            images.read(path)
