"""How every figure looks, and how it is written.

Colours are Okabe and Ito's, which colour-blind readers can tell apart; markers and hatches repeat them. A figure is
drawn in INK on nothing, so that it can be laid on paper (`save`) or take its page's colour of text, light or dark (`inline`).
"""

from __future__ import annotations

import html
import io
import re
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from aptp_bench.core.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
HATCHES = ("", "//", "..", "xx")
INK, GREY = "#000000", "#777777"
EDGE: dict[str, Any] = {"markeredgecolor": INK, "markeredgewidth": 0.4}  # of a mark, whatever its colour
DPI = 150
PLAIN: dict[str, Any] = {"svg.hashsalt": "aptp-bench", "svg.fonttype": "none", "font.size": 9}


def lay_out(figure: Figure) -> None:
    """Give everything its place, once: a figure whose layout is constrained is else laid out and drawn again at each saving."""
    import matplotlib as mpl

    with mpl.rc_context(PLAIN):
        figure.draw_without_rendering()
        figure.set_layout_engine(None)


def save(figure: Figure, path: Path) -> None:
    """Write a .png or .svg on white, whole or not at all; the same figure gives the same bytes."""
    import matplotlib as mpl

    metadata: dict[str, Any] = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    stream = io.BytesIO()
    with mpl.rc_context(PLAIN):
        figure.savefig(stream, format=path.suffix[1:], dpi=DPI, metadata=metadata)
    write_whole(path, lambda aside: aside.write_bytes(stream.getvalue()))


def save_png(figure: Figure, stream: IO[bytes]) -> None:
    """The bytes of a PNG on white, as `save` writes them."""
    import matplotlib as mpl

    with mpl.rc_context(PLAIN):
        figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})


def svg(figure: Figure, transparent: bool = False) -> str:
    """The figure as the text of an SVG, on white unless it is transparent; the same figure gives the same text."""
    import matplotlib as mpl

    stream = io.StringIO()
    with mpl.rc_context(PLAIN):
        figure.savefig(stream, format="svg", transparent=transparent, metadata={"Date": None})
    return stream.getvalue()


def inline(figure: Figure, label: str) -> str:
    """The figure as an <svg> element for a page: no background, and black becomes the page's colour of text.

    label: what readers who cannot see it are told.
    """
    text = svg(figure, transparent=True)
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], count=1, flags=re.DOTALL)
    text = text.replace(INK, "currentColor")
    said = f'role="img" aria-label="{html.escape(label)}" fill="currentColor"'  # text that is black names no colour
    return text.replace("<svg ", f"<svg {said} ", 1)
