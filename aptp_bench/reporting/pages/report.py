"""One run on one page: what was measured, at what cost, and what the experts are; one file that can be sent around."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from markupsafe import Markup
from matplotlib.figure import Figure

from aptp_bench.budget import CONVENTIONS
from aptp_bench.core.progress import Progress
from aptp_bench.errors import AptpBenchError
from aptp_bench.records import Measurement, Record
from aptp_bench.reporting.figures.facts import RunFacts
from aptp_bench.reporting.figures.of_run import MAKERS, SAMPLES, figures, sample_panels
from aptp_bench.reporting.figures.samples import Panel
from aptp_bench.reporting.figures.style import inline
from aptp_bench.reporting.numbers import MEGA, macs, significant, span
from aptp_bench.reporting.pages.render import picture, render
from aptp_bench.reporting.ranking.names import headed
from aptp_bench.reporting.worlds import SAID

TITLES = {
    "search": "Search",
    "assignment": "Experts of prompts",
    "loads": "Loads and budgets",
    "blocks": "What is kept of each block",
    SAMPLES: "Images",
}
SMALL = 64  # pixels up to which an image is shown in its own squares
SHORT = 12  # characters of a digest that tell it from others


@dataclass(frozen=True)
class Report:
    """A page, and what it had to leave out: name of a section -> why."""

    page: str
    left_out: Mapping[str, str]


def report(facts: RunFacts, progress: Progress) -> Report:
    """The page of a run. What cannot be shown, for want of data or because files are gone, is said in a line."""
    drawn, left_out = figures(facts, progress)
    panels, why = sample_panels(facts)
    experts, missing = _experts(facts)
    left_out |= why | missing
    page = render(
        "report.html",
        facts=facts,
        record=facts.record,
        world=SAID[facts.record.world],
        random=facts.record.what.random_weights,
        results=results(facts),
        budgets=list(budgets(facts)),
        costs=costs(facts.record),
        experts=experts,
        figures=[_section(name, figure) for name, figure in drawn.items()],
        panels=[_panel(panel) for panel in panels],
        notes=list(dict.fromkeys(panel.note for panel in panels if panel.note)),
        titles=TITLES,
        left_out=left_out,
        settings=yaml.safe_dump(facts.record.what.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        stages=_stages(facts),
        short=SHORT,
        conventions=CONVENTIONS,
    )
    return Report(page, left_out)


@dataclass(frozen=True)
class Result:
    """A metric of this run, and of the reference run where it was measured; as text."""

    name: str
    value: str
    interval: str
    n: str
    beside: str
    beside_interval: str


def results(facts: RunFacts) -> dict[str, Any]:
    """{"rows": a Result a metric, "beside": the reference's method or None, "missing": why it is not there, "skipped"}."""
    beside, missing = facts.beside()
    there = beside.record.results if beside else {}
    rows = [_result(name, found, there.get(name)) for name, found in facts.record.results.items()]
    method = None if beside is None else beside.recipe.method
    return {"rows": rows, "beside": method, "missing": missing, "skipped": facts.record.skipped}


def budgets(facts: RunFacts) -> Iterator[dict[str, str]]:
    """A row for each convention: MACs of dense and of this run, shares on evaluation and on training prompts."""
    for name in CONVENTIONS:
        found = facts.record.macs[name]
        yield {
            "name": name,
            "asked": f"{facts.budget:g}" if name == facts.convention else "",
            "train": f"{found['train_ratio']:.4f}",
            "val": f"{found['ratio']:.4f}",
            "pruned": macs(found["pruned"]),
            "dense": macs(found["dense"]),
        }


def costs(record: Record) -> list[tuple[str, str]]:
    """Parameters, in words and numbers."""
    sizes = record.parameters
    names = {"dense": "of the dense network", "per_image": "that an image meets", "stored": "stored, all experts"}
    return [(f"parameters {text}", f"{sizes[key] / MEGA:,.2f} M") for key, text in names.items()]


def _result(name: str, found: Measurement, beside: Measurement | None) -> Result:
    there = ("–", "") if beside is None else (significant(beside.value), span(beside.interval, significant))
    own = (significant(found.value), span(found.interval, significant), f"{found.n:,}")
    return Result(headed(name, found.unit, found.better), *own, *there)


def _experts(facts: RunFacts) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """A row for each expert with its frequent words, and why there are no words."""
    experts = facts.record.experts
    try:
        words, missing = facts.words, {}
    except AptpBenchError as err:
        words, missing = [[] for _ in experts], {"words": str(err)}
    shares = {name: facts.record.expert_ratios(name) for name in CONVENTIONS}
    rows = [
        {
            "ratios": [f"{shares[name][i]:.3f}" for name in CONVENTIONS],
            "parameters": f"{expert.parameters / MEGA:,.2f}",
            "train": f"{expert.train_prompts:,}",
            "val": f"{expert.eval_prompts:,}",
            "words": ", ".join(words[i]) or "–",
        }
        for i, expert in enumerate(experts)
    ]
    return rows, missing


def _section(name: str, figure: Figure) -> dict[str, Any]:
    _, about = MAKERS[name]
    svg = Markup(inline(figure, about))  # matplotlib escapes the texts in it
    return {"id": name, "title": TITLES[name], "svg": svg, "about": about}


def _panel(panel: Panel) -> dict[str, Any]:
    rows = [{"label": row.label.splitlines(), "tiles": [_tile(t.png, t.text) for t in row.tiles]} for row in panel.rows]
    about = {"id": panel.name, "title": panel.title, "about": panel.about, "columns": panel.columns}
    return {**about, "rows": rows, "paired": bool(panel.columns)}


def _tile(png: bytes, text: str) -> dict[str, Any]:
    width = int.from_bytes(png[16:20], "big")  # of the PNG's header
    return {"src": picture(png), "text": text, "small": width <= SMALL}


def _stages(facts: RunFacts) -> Sequence[dict[str, str]]:
    """The stages in their order, with the seconds that each took when it was made and its folder's name."""
    seconds = facts.record.how.seconds
    return [
        {"name": name, "seconds": f"{seconds[name]:,.1f}" if name in seconds else "–", "folder": folder.name}
        for name, folder in facts.run.stages.items()
    ]
