"""What a PNG says of itself and Pillow does not look at: checksums of its pixels, and colours that are not sRGB."""

from __future__ import annotations

import struct
import zlib
from typing import IO

from aptp_bench.core.files import BLOCK

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# chunks that say what colours mean; the first that is there counts
NAMED = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM")
CODED_SRGB = bytes((1, 13, 0, 1))  # primaries, transfer, matrix and range as cICP numbers them
SRGB_GAMMA, ALIKE = 45_455, 0.05  # in 100,000ths; the share by which viewers let it differ
SRGB_CORNERS = (31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000)  # white, red, green, blue: x and y
NEAR = 1_000


def flaw(file: IO[bytes]) -> str | None:
    """Why the pixels of a file that begins as a PNG are not to be trusted; None for other files, and where nothing speaks against it.

    The file stands at its beginning before and after.
    """
    said: dict[bytes, bytes] = {}
    try:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            return None
        while len(head := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", head)
            found, data = _checksum(file, size, kind)
            written = file.read(4)
            if len(written) < 4:
                break
            if found != int.from_bytes(written, "big"):
                return f"the checksum of its {kind.decode('latin-1')} chunk is wrong: it was damaged on its way"
            if kind in NAMED:
                said[kind] = data
            if kind == b"IEND":
                return _colours(said)
        return "it ends early"
    finally:
        file.seek(0)


def _checksum(file: IO[bytes], size: int, kind: bytes) -> tuple[int, bytes]:
    """(checksum of a chunk, how it begins), a block at a time: a size may say 4 GiB."""
    sum_, start = zlib.crc32(kind), b""
    while size > 0 and (block := file.read(min(size, BLOCK))):
        sum_, size, start = zlib.crc32(block, sum_), size - len(block), start or block[:32]
    return sum_, start


def _colours(said: dict[bytes, bytes]) -> str | None:
    """What is unlike sRGB, in the order in which viewers believe it; profiles (iCCP) are followed elsewhere."""
    if b"cICP" in said:
        return None if said[b"cICP"] == CODED_SRGB else "its colours (cICP) are not those of sRGB"
    if b"iCCP" in said or b"sRGB" in said:
        return None
    gamma = int.from_bytes(said.get(b"gAMA", b""), "big")
    if gamma and abs(gamma / SRGB_GAMMA - 1) > ALIKE:
        return f"its gamma (gAMA) is {gamma / 1e5:g}, and that of sRGB is {SRGB_GAMMA / 1e5:g}"
    corners = said.get(b"cHRM", b"")
    if gamma and len(corners) == 32:
        far = max(abs(a - b) for a, b in zip(struct.unpack(">8I", corners), SRGB_CORNERS, strict=True))
        return "its primaries (cHRM) are not those of sRGB" if far > NEAR else None
    return None
