"""The same prompts and the same noise, method by method: the samples of a board's runs as one SVG, for whoever would rather look."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from aptp_bench.reporting.pages.run_facts import Source, source_of
from aptp_bench.reporting.ranking.boards import Board, Row
from aptp_bench.reporting.ranking.names import entry_title

LABEL, TILE, GAP = 176, 60, 6  # pixels: the column of names, an image, between rows
STYLE = (
    "text{font:14px system-ui,sans-serif;fill:#1f2328}image{image-rendering:pixelated}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}}"
)


def draw(board: Board, sources: Sequence[Source]) -> str:
    """References, then ranked entries in their order, each with the sheet of its first seed.

    Whose sheet is missing or of other prompts than the first one's is left out; empty where fewer than two are left.
    """
    found = [(row, source_of(row.entry.first, sources)) for row in [*board.of("reference"), *board.of("main")]]
    shown = [(row, source.sheet, source.record.samples) for row, source in found if source.sheet]
    captions = shown[0][2].captions if shown and shown[0][2] else []
    rows = [(row, sheet) for row, sheet, samples in shown if samples and samples.captions == captions]
    if len(rows) < 2:
        return ""
    width, height = LABEL + len(captions) * TILE, len(rows) * (TILE + GAP) - GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    seen = "".join(f"\n{number}. {caption}" for number, caption in enumerate(captions, start=1))
    drawn = [_row(row, sheet, place, len(captions)) for place, (row, sheet) in enumerate(rows)]
    parts = [head, f"<style>{STYLE}</style>", f"<title>{escape('From the left:' + seen)}</title>", *drawn, "</svg>"]
    return "\n".join(parts) + "\n"


def _row(row: Row, sheet: bytes, place: int, images: int) -> str:
    top = place * (TILE + GAP)
    name = f'<text x="0" y="{top + TILE // 2 + 5}">{escape(entry_title(row.entry))}</text>'
    data = base64.b64encode(sheet).decode()
    at = f'x="{LABEL}" y="{top}" width="{images * TILE}" height="{TILE}"'
    return f'{name}<image {at} href="data:image/png;base64,{data}"/>'
