"""One run on one page: what was measured, at what cost, and what the experts are; one file that can be sent around."""

from __future__ import annotations

from markupsafe import Markup

from aptp_bench.core.progress import Progress
from aptp_bench.errors import AptpBenchError
from aptp_bench.reporting import oracle
from aptp_bench.reporting.figures.facts import RunFacts
from aptp_bench.reporting.figures.of_run import MAKERS, SAMPLES, figures, sample_panels
from aptp_bench.reporting.figures.style import inline
from aptp_bench.reporting.pages import routing
from aptp_bench.reporting.pages.render import render
from aptp_bench.reporting.worlds import SAID

TITLES = {
    "search": "Search",
    "assignment": "Experts of prompts",
    "loads": "Loads and budgets",
    "blocks": "What is kept of each block",
    SAMPLES: "Images",
}

SAME_NOISE = {
    "text-to-image": "Images of one prompt start from the same noise.",
    "image": "Images of one row start from the same noise.",
    "audio": "Spectrograms of one row start from the same noise. What is played has the phases that Griffin and Lim's "
    "iterations find for them.",
}


def report(facts: RunFacts, progress: Progress) -> tuple[str, dict[str, str]]:
    """(the page of a run, what it had to leave out: name of a section -> why).

    What cannot be shown, for want of data or because files are gone, is said in a line.
    """
    drawn, left_out = figures(facts, progress)
    panels, why = sample_panels(facts)
    left_out |= why
    words: list[list[str]] = [[] for _ in facts.record.experts]
    try:
        words = facts.words
    except AptpBenchError as err:
        left_out["words"] = str(err)
    beside, missing = facts.beside()
    page = render(
        "report.html",
        facts=facts,
        record=facts.record,
        world=SAID[facts.record.world],
        beside=beside and beside.record,
        missing=missing,
        words=words,
        diagnostics=routing.lines(facts.record),
        tuning=routing.tuning(facts.record),
        won=_won(facts),
        # matplotlib escapes the texts in a figure
        figures={name: Markup(inline(figure, MAKERS[name][1])) for name, figure in drawn.items()},
        abouts={name: about for name, (_, about) in MAKERS.items()},
        panels=panels,
        notes=list(dict.fromkeys(panel.note for panel in panels if panel.note)),
        titles=TITLES,
        left_out=left_out,
        same_noise=SAME_NOISE[facts.record.task],
    )
    return page, left_out


def _won(facts: RunFacts) -> list[str]:
    """What routing could win here and what the run won, or why that is not known; nothing for a run of one expert."""
    if len(facts.record.experts) < 2:
        return []
    try:
        return routing.oracle(oracle.of_run(facts))
    except AptpBenchError as err:
        return [str(err)]
