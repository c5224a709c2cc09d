"""A drawn figure and the plain data that it shows: the same data give the same figure."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aptp_bench.core.files import write_text, write_whole
from aptp_bench.reporting.figures import style, svg_digest
from aptp_bench.reporting.numbers import rounded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALL = 5.5  # points of the line that says how to get a figure again


@dataclass(frozen=True)
class Drawn:
    """data: all numbers and words of the figure, as JSON has them."""

    figure: Figure
    data: Mapping[str, Any]

    @classmethod
    def of(cls, figure: Figure, data: Mapping[str, Any]) -> Drawn:
        """A figure and its data, whose numbers are rounded to what a measurement can say.

        It is laid out here, once: each saving would move it a little, so that a file would depend on those before it.
        """
        style.lay_out(figure)
        return cls(figure, plain(data))


def plain(data: Any) -> Any:
    """Data whose numbers have six significant digits; tuples are lists and keys are text, as in JSON."""
    if isinstance(data, Mapping):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, str) or not isinstance(data, Sequence):
        return rounded(data) if isinstance(data, float) else data
    return [plain(each) for each in data]


def footed(figure: Figure, title: str, note: str) -> Figure:
    """The figure with its title, and below it how to get it again. For figures whose layout is constrained."""
    figure.suptitle(title, fontsize=10)
    figure.supxlabel(note.replace("$", r"\$"), fontsize=SMALL, color=style.GREY, x=0.01, ha="left")
    return figure


def write(drawn: Drawn, path: Path) -> Path:
    """Write a .svg, sealed with the digest of its data, or a .png; whole or not at all."""
    if path.suffix == ".svg":
        return write_text(path, svg_digest.seal(style.svg(drawn.figure), drawn.data))
    stream = io.BytesIO()
    style.save_png(drawn.figure, stream)
    return write_whole(path, lambda aside: aside.write_bytes(stream.getvalue()))
