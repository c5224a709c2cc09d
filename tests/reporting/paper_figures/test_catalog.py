"""The list of figures is that of the papers, and each names what makes its data."""

from __future__ import annotations

import pytest

from aptp_bench.errors import ConfigError
from aptp_bench.harness.suite import Suite
from aptp_bench.reporting.paper_figures.catalog import PaperFigure, catalog
from aptp_bench.reporting.paper_figures.makers import MAKERS
from aptp_bench.reporting.paper_figures.stock import suite_of

FIGURES = {"aptp": 14, "ld_pruner": 16}  # how many each paper has, its supplement's included
DRAWINGS = {"aptp_1", "aptp_2", "ld_pruner_1", "ld_pruner_2", "ld_pruner_8", "ld_pruner_16"}


def test_every_figure_of_both_papers_is_there_in_their_order() -> None:
    assert list(catalog()) == [f"{paper}_{n}" for paper, most in FIGURES.items() for n in range(1, most + 1)]


def test_only_drawings_are_not_drawn_and_each_maker_draws() -> None:
    assert {figure.id for figure in catalog().values() if figure.reason} == DRAWINGS
    assert {figure.draws for figure in catalog().values() if figure.draws} == set(MAKERS)


@pytest.mark.parametrize("id", [id for id in catalog() if id not in DRAWINGS])
def test_its_suites_are_shipped_and_they_have_its_rows(id: str) -> None:
    figure = catalog()[id]
    found = [[suite_of(name, "mini") for name in names] for names in figure.suites]
    assert any(None not in names for names in found)
    for names in found:
        labels = {row.label for name in names if name for row in Suite.load(name).rows}
        assert None in names or set(figure.rows) <= labels or names != found[0]  # halves have their own rows alone


def test_a_figure_that_is_not_there_is_refused_with_a_near_one() -> None:
    assert PaperFigure.get("APTP-5").id == "aptp_5"
    with pytest.raises(ConfigError, match="no figure 'aptp_15'; did you mean aptp_"):
        PaperFigure.get("aptp_15")


def test_an_entry_is_drawn_or_says_why_not() -> None:
    with pytest.raises(ValueError, match="needs either a maker and suites, or a reason"):
        PaperFigure(id="aptp_1", title="T")
