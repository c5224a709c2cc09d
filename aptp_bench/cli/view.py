"""Tables on stdout. They say which world a number is of, its unit, which way is better, and its interval."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from aptp_bench.budget import CONVENTIONS
from aptp_bench.core.texts import visible
from aptp_bench.reporting.numbers import MEGA, brief
from aptp_bench.reporting.ranking.names import ARROWS
from aptp_bench.reporting.worlds import SAID

if TYPE_CHECKING:
    from aptp_bench.core.recipe import Recipe
    from aptp_bench.evaluation.conformance import Verdict
    from aptp_bench.harness.plans import Planned
    from aptp_bench.records import Measurement, Record

RANDOM = "random weights: images are noise, quality numbers mean nothing"
NARROWEST = 40  # columns
PIPE = 250  # characters of a line that nobody looks at in a window


def show_comparison(records: Sequence[Record]) -> None:
    """Records side by side: metrics, MACs in all conventions, parameters; then the experts of each mixture."""
    what = records[-1].what
    console = window()
    console.print()
    budget = f"budget {what.budget.ratio:g} of the {what.budget.convention} MACs"
    title = f"{what.method} on {what.dataset}, {what.model}, {budget}, seed {what.seed}"
    table = plain_table(["", *(record.what.method for record in records)])
    alone = [[record] for record in records]
    for label, cells in (*_metric_rows(alone), *_cost_rows(alone)):
        table.add_row(label, *cells)
    titled(console, title, table)
    line(console, world(records[-1]))
    for record in records:
        if record.remark:
            line(console, f"{record.what.method}: {record.remark}")
    _against(console, {record.what.method: [record] for record in records})
    _cautions(console, _details(records))
    for record in records:
        if len(record.experts) > 1:
            shares = "share of the dense MACs by convention, millions of parameters, prompts served"
            titled(console, f"experts of {record.what.method}: {shares}", experts_table(record))
    _skipped(console, {name: reason for record in records for name, reason in record.skipped.items()})


def show_suite(title: str, rows: Mapping[str, Sequence[Record]]) -> None:
    """The table of a suite, a line a row: label -> its records, one a seed. A pipe gets it as wide as it is."""
    console = wide_console()
    console.print()
    groups = list(rows.values())
    columns = [*_metric_rows(groups), *_cost_rows(groups)]
    table = plain_table(["", *(name for name, _ in columns)])
    for label, cells in zip(rows, zip(*(cells for _, cells in columns), strict=True), strict=True):
        table.add_row(escape(visible(label)), *(cell.replace(" [", "\n[") for cell in cells))
    titled(console, title, table)
    most = max(len(records) for records in groups)
    line(console, "value [95 % interval]" if most == 1 else f"mean [least, greatest] over up to {most} seeds")
    line(console, world(groups[0][0]))
    _against(console, rows)
    _cautions(console, _details(record for records in groups for record in records))
    for label, records in rows.items():
        for remark in dict.fromkeys(record.remark for record in records if record.remark):
            line(console, f"{label}: {remark}")
    _skipped(console, {name: why for records in groups for record in records for name, why in record.skipped.items()})


def world(record: Record) -> str:
    """Which world the numbers are of, in words."""
    return f"{SAID[record.world]}; {RANDOM}" if record.what.random_weights else SAID[record.world]


def experts_table(record: Record) -> Table:
    """A mixture's experts; their mean over the training prompts, which is what the budget is about, comes last."""
    table = plain_table(["expert", *CONVENTIONS, "parameters", "train", "val"])
    for place, expert in enumerate(record.experts):
        prompts = (expert.train_prompts, expert.eval_prompts)
        ratios = [f"{expert.macs[name] / record.macs[name].dense:.3f}" for name in CONVENTIONS]
        table.add_row(str(place), *ratios, f"{expert.parameters / MEGA:.2f}", *map(str, prompts))
    means = [f"{record.macs[name].train_ratio:.4f}" for name in CONVENTIONS]
    table.add_row("training mean", *means, "", "", "", style="bold")
    return table


def show_measurements(found: Mapping[str, Any]) -> None:
    """What `evaluate` found."""
    console = window()
    table = plain_table(["metric", "value", "n"])
    for name, result in found["results"].items():
        table.add_row(
            _label(name, result["unit"], result["better"]),
            number(result["value"], result["interval"]),
            str(result["n"]),
        )
    titled(console, f"{found['images']} images", table)
    line(console, SAID[found["world"]])
    _cautions(console, [{name: result["detail"] for name, result in found["results"].items()}])
    _skipped(console, found["skipped"])


def show_plan(recipe: Recipe, plans: Mapping[str, Sequence[Planned]]) -> None:
    """The resolved recipe and the stages of every run it makes."""
    console = window()
    console.print(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False), highlight=False, markup=False)
    table = plain_table(["run", "stage", "state"])
    for method, stages in plans.items():
        for stage in stages:
            table.add_row(method, stage.name, stage.state)
    console.print(table)
    line(
        console, "States are those of this run's last start. What another run has made already is read, not made again;"
    )
    line(console, "what was edited since is made again. Folders: --json.")


def show_verdicts(method: str, verdicts: Iterable[Verdict]) -> None:
    """What a method promised the harness, and whether it kept it."""
    console, table = window(), plain_table(["", "promise"])
    found = list(verdicts)
    for verdict in found:
        table.add_row("[green]kept[/]" if verdict.kept else "[red]broken[/]", verdict.promise)
    titled(console, f"{method}: what every method must keep to", table)
    for verdict in found:
        if not verdict.kept:
            line(console, f"broken: {verdict.promise}: {verdict.why}")


def number(value: float, interval: Sequence[float] | None = None) -> str:
    """A value with four significant digits, and its 95 % interval where there is one."""
    return brief(value) if interval is None else f"{brief(value)} [{interval[0]:.4g}, {interval[1]:.4g}]"


def _against(console: Console, rows: Mapping[str, Sequence[Record]]) -> None:
    """What images were compared with, a line for each of these: the reference has other noise there, not other images."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for label, records in rows.items():
        for name, result in ((name, result) for record in records for name, result in record.results.items()):
            if "against" in result.detail:
                metrics, labels = found.setdefault(result.detail["against"], ({}, {}))
                metrics[name.replace("_", " ")] = labels[label] = None
    for what, (metrics, labels) in found.items():
        line(console, f"{', '.join(metrics)} of {', '.join(labels)}: to {what}")


def _details(records: Iterable[Record]) -> Iterable[Mapping[str, Any]]:
    return ({name: result.detail for name, result in record.results.items()} for record in records)


def _cautions(console: Console, details: Iterable[Mapping[str, Any]]) -> None:
    """What must be known before a number is used: a line for each caution, with the metrics that have it."""
    found: dict[str, dict[str, None]] = {}
    for metric, detail in ((metric, detail) for each in details for metric, detail in each.items()):
        if "caution" in detail:
            found.setdefault(detail["caution"], {})[metric.replace("_", " ")] = None
    for caution, metrics in found.items():
        console.print(
            f"[bold yellow]caution[/]: {', '.join(metrics)}: {escape(caution)}", highlight=False, soft_wrap=True
        )


def _metric_rows(groups: Sequence[Sequence[Record]]) -> Iterable[tuple[str, list[str]]]:
    """A row a metric; a cell for each group of records, which differ in their seed only."""
    found = [{name: m for record in records for name, m in record.results.items()} for records in groups]
    for name in dict.fromkeys(name for facts in found for name in facts):
        facts = next(each[name] for each in found if name in each)
        cells = [[r.results[name] for r in records if name in r.results] for records in groups]
        yield _label(name, facts.unit, facts.better), [_measured(cell) for cell in cells]


def _measured(found: Sequence[Measurement]) -> str:
    if len(found) < 2:
        return number(found[0].value, found[0].interval) if found else "–"
    values = [m.value for m in found]
    return number(fmean(values), (min(values), max(values)))


def _cost_rows(groups: Sequence[Sequence[Record]]) -> Iterable[tuple[str, list[str]]]:
    for name in CONVENTIONS:
        ratios = [[record.macs[name].ratio for record in records] for records in groups]
        yield f"MACs {name} / dense ↓", [f"{fmean(each):.4f}" for each in ratios]
    sizes = [fmean(record.parameters.stored for record in records) for records in groups]
    yield "parameters stored, M", [f"{size / MEGA:,.2f}" for size in sizes]


def _label(name: str, unit: str, better: str) -> str:
    return " ".join(part for part in (name.replace("_", " "), f"({unit})" if unit else "", ARROWS[better]) if part)


def _skipped(console: Console, skipped: Mapping[str, str]) -> None:
    for name, reason in skipped.items():
        line(console, f"not measured: {name}: {reason}")


def window() -> Console:
    """The window on stdout; one in which no word has room (COLUMNS=0) counts as NARROWEST columns."""
    found = Console()
    return found if found.width >= NARROWEST else Console(width=NARROWEST)


def wide_console() -> Console:
    """The window, or as much room as a table wants where nobody looks at a window."""
    return window() if sys.stdout.isatty() else Console(width=PIPE)


def titled(console: Console, title: str, table: Table) -> None:
    """A table below its title, which rich would fold to the table's width."""
    console.print(visible(title), style="bold", highlight=False, markup=False, soft_wrap=True)
    console.print(table)


def line(console: Console, text: str) -> None:
    """Text as it is, unbroken, so that a command in it can be copied."""
    console.print(visible(text), highlight=False, markup=False, soft_wrap=True)


def plain_table(columns: Sequence[str]) -> Table:
    """A table whose first column holds labels."""
    table = Table()
    for place, column in enumerate(columns):
        table.add_column(column, overflow="fold", justify="left" if place == 0 else "default")
    return table
