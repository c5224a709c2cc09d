"""A plan as tables on stdout."""

from __future__ import annotations

from rich.markup import escape

from aptp_bench.cli.view import line, plain_table, titled, wide_console
from aptp_bench.planning.machine import GIB
from aptp_bench.planning.plan import GB, HOUR, Plan, PlannedRow

UNITS = ((HOUR, "h"), (60.0, "min"), (0.0, "s"))
MEASURE = "measure"


def show(plan: Plan) -> None:
    """Rows by their stages, then memory, disk, sums, and what does not fit."""
    console = wide_console()
    fullest_first = sorted(plan.rows, key=lambda row: -len(row.stages))  # has all stages in their order
    stages = list(dict.fromkeys(_group(stage.stage) for row in fullest_first for stage in row.stages))
    table = plain_table(["", *stages, "in all", "memory, GiB", "disk, GB"])
    for row in plan.rows:
        memory = max((stage.memory_bytes or 0 for stage in row.stages), default=0) / GIB
        disk = sum(stage.disk_bytes for stage in row.stages if not stage.made_by) / GB
        cells = [_cell(row, name) for name in stages]
        table.add_row(escape(row.label), *cells, said(row.seconds), f"{memory:,.1f}", f"{disk:,.1f}")
    there = "" if plan.memory_gib is None else f" with {plan.memory_gib:,.4g} GiB"
    titled(console, f"{plan.title}: planned for {plan.processes} × {plan.device}{there}", table)
    line(console, "time, memory of a process at the worst moment, disk; = made by another row; – not estimated")
    line(
        console,
        "measure: passes of the metrics' networks over images, and what is timed; reading files and sums come to it",
    )
    line(console, f"expected at {plan.efficiency:.0%} {plan.basis}; at best {said(plan.seconds * plan.efficiency)}")
    kinds = ", ".join(f"{kind} {amount / GB:,.1f} GB" for kind, amount in plan.disk_bytes.items())
    line(console, f"disk: {kinds}; features and a training's last state come to it")
    money = "" if plan.price is None else f", {plan.price:,.0f} in money"
    line(console, f"in all: {said(plan.seconds)}, {plan.device_hours:,.1f} device hours{money}")
    if plan.not_estimated:
        line(console, f"not estimated: {', '.join(name.removeprefix(f'{MEASURE}-') for name in plan.not_estimated)}")
    for warning in plan.warnings:
        console.print(f"[bold yellow]warning[/]: {escape(warning)}", highlight=False, soft_wrap=True)


def said(seconds: float) -> str:
    """A time in the largest unit that it fills."""
    size, unit = next((size, unit) for size, unit in UNITS if seconds >= size)
    return f"{seconds / (size or 1.0):,.1f} {unit}"


def _group(stage: str) -> str:
    return MEASURE if stage.startswith(MEASURE) else stage


def _cell(row: PlannedRow, group: str) -> str:
    """The time of a row's stages of one name; empty where it has none."""
    stages = [stage for stage in row.stages if _group(stage.stage) == group]
    if all(stage.made_by for stage in stages):
        return "=" if stages else ""
    known = [stage.seconds for stage in stages if stage.seconds is not None]
    return said(sum(known)) if known else "–"
