"""Which function draws which figure: the names that catalog.yaml has under `draws`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aptp_bench.reporting.paper_figures import experts, lines, operators, pictures, transport
from aptp_bench.reporting.paper_figures.drawn import Drawn
from aptp_bench.reporting.paper_figures.stock import Stock

MAKERS: Mapping[str, Callable[[Stock], Drawn]] = {
    "along": lines.along,
    "blocks": experts.kept,
    "ends": pictures.ends,
    "experts": lines.experts,
    "formulas": lines.formulas,
    "loads": experts.served,
    "one_each": pictures.one_each,
    "operator_counts": operators.counts,
    "operator_ranks": operators.ranks,
    "operator_scores": operators.scores,
    "rows_of_experts": pictures.rows_of_experts,
    "side_by_side": pictures.side_by_side,
    "side_by_side_prompts": pictures.side_by_side_prompts,
    "styles": pictures.styles,
    "transport_losses": transport.losses,
    "transport_squares": transport.squares,
    "untuned": pictures.untuned,
}


def draw(stock: Stock) -> Drawn:
    """The figure. Raises FigureError, DataError, ConfigError for runs that lack what it shows."""
    return MAKERS[stock.figure.draws](stock)
