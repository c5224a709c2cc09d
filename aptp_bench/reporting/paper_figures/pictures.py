"""Images of runs side by side, as APTP shows them in Figs. 3, 4, 11 to 14, and LD-Pruner in Figs. 3, 6 and 9."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from aptp_bench import registry
from aptp_bench.errors import FigureError
from aptp_bench.generation.images import image_path
from aptp_bench.reporting.figures import samples
from aptp_bench.reporting.figures.facts import RunFacts
from aptp_bench.reporting.figures.samples import Panel, Row, Tile, tile
from aptp_bench.reporting.paper_figures.drawn import Drawn
from aptp_bench.reporting.paper_figures.stock import Item, Stock, only
from aptp_bench.reporting.paper_tables.prompts import places, prompt_lists

if TYPE_CHECKING:
    from aptp_bench.contracts.dataset import DatasetPlugin
    from aptp_bench.reporting.figures.facts import On

STYLE = "Style & Format"  # PartiPrompts' challenge
PROMPTS, STYLED, TWICE = 8, 10, 2  # prompts of a grid of networks, of a row of styles, of a grid of formulas
SETS = {"aptp_2": "CC3M", "aptp_4": "MS-COCO"}  # whose prompts of Table 8 a suite's run shows


def one_each(stock: Stock) -> Drawn:
    """APTP, Fig. 3: a row a data set, an image an expert."""
    rows = []
    for part in stock.parts:
        facts = _facts(only(part.items))
        at = _one_each(facts, places(prompt_lists()["aptp_8"].sets[SETS[part.suite]], facts.captions()))
        rows.append(Row(part.dataset, tuple(_tile(facts, place, expert=True) for place in at)))
    return _drawn(stock, rows)


def ends(stock: Stock) -> Drawn:
    """APTP, Fig. 4: prompts of cheap and of dear experts, beside the dense network where all its runs are there."""
    found = [(part.dataset, _facts(only(part.items))) for part in stock.parts]
    dense = [facts.beside("generate") for _, facts in found]
    whole = all(beside is not None for beside, _ in dense)
    rows: list[Row] = []
    for (dataset, facts), (beside, missing) in zip(found, dense, strict=True):
        for panel in samples.ends(facts, beside if whole else None, missing):
            rows += [replace(row, label=f"{dataset}, {panel.name}: {row.label}") for row in panel.rows]
    columns = ("dense", "pruned") if whole else ("pruned",)
    return _drawn(stock, rows, columns)


def rows_of_experts(stock: Stock) -> Drawn:
    """APTP, Figs. 11 and 12: a row an expert, in the order of their cost."""
    facts = _facts(only(stock.items))
    rows = samples.each_expert(facts).rows
    order = sorted(range(len(rows)), key=facts.budgets.__getitem__)
    return _drawn(stock, [rows[expert] for expert in order])


def styles(stock: Stock) -> Drawn:
    """APTP, Fig. 13: a row a data set, prompts of styles."""
    rows = []
    for part in stock.parts:
        item = only(part.items)
        facts = _facts(item)
        tiles = [_tile(facts, place, "partiprompts") for place in _labelled(facts, STYLE)[:STYLED]]
        rows.append(Row(f"{item.label} trained on {part.dataset}", tuple(tiles)))
    return _drawn(stock, rows)


def side_by_side_prompts(stock: Stock) -> Drawn:
    """APTP, Fig. 14: a row a prompt of Table 9, a column a network."""
    wanted = prompt_lists()["aptp_9"].sets["PartiPrompts"]
    captions = _facts(stock.items[0]).captions("partiprompts")
    at = places(wanted, captions) or list(range(min(len(wanted), len(captions))))
    columns = tuple(f"{item.label}\n{part.dataset}" for part in stock.parts for item in part.items)
    return _drawn(stock, _grid(stock.items, at, "partiprompts"), columns)


def side_by_side(stock: Stock) -> Drawn:
    """LD-Pruner, Fig. 3: a row a caption, a column a network."""
    captions = _facts(stock.items[0]).captions()
    columns = tuple(item.label for item in stock.items)
    return _drawn(stock, _grid(stock.items, list(range(min(PROMPTS, len(captions)))), "dataset"), columns)


def untuned(stock: Stock) -> Drawn:
    """LD-Pruner, Figs. 6 and 9: rows are formulas, columns numbers of modified operators; two captions, one below the other."""
    pruned = [item for item in stock.items if item.recipe.method_config.get("p") is not None]
    rest = [item for item in stock.items if item not in pruned]
    counts = sorted({int(item.recipe.method_config["p"]) for item in pruned})
    formulas = dict.fromkeys(str(item.recipe.method_config["score"]) for item in pruned)
    columns = (*(item.label for item in rest), *(f"{count} operators" for count in counts))
    rows = []
    for at in range(TWICE):
        for formula in formulas:
            own = [item for item in pruned if item.recipe.method_config["score"] == formula]
            own.sort(key=lambda item: item.recipe.method_config["p"])
            tiles = tuple(_tile(_facts(item), at, text=False) for item in (*rest, *own))
            caption = _facts(pruned[0]).captions()[at]  # empty where a model reads none
            rows.append(Row(f"{formula}: {caption}" if caption else formula, tiles))
    return _drawn(stock, rows, columns)


def _facts(item: Item) -> RunFacts:
    """Of the run of the first seed."""
    return RunFacts(item.runs[0])


def _tile(facts: RunFacts, at: int, on: On = "dataset", expert: bool = False, text: bool = True) -> Tile:
    said = facts.captions(on)[at] if text else ""
    if expert:
        said = f"[expert {facts.assignment(on)[at]}] {said}"
    return Tile(tile(image_path(facts.images(on), at)), said)


def _grid(items: Sequence[Item], at: Sequence[int], on: On) -> list[Row]:
    """A row a caption, a tile a network. Raises FigureError for networks of other captions."""
    facts = [_facts(item) for item in items]
    captions = facts[0].captions(on)
    if any(each.captions(on)[: len(captions)] != captions for each in facts):
        raise FigureError("the runs of this figure drew other captions; run them again with the same sizes")
    return [Row(captions[place], tuple(_tile(each, place, on, text=False) for each in facts)) for place in at]


def _one_each(facts: RunFacts, wanted: Sequence[int]) -> Iterator[int]:
    """Of every expert in the order of its cost the first wanted prompt that it serves, else its first; none if it serves none."""
    assignment = facts.assignment()
    for expert in sorted(range(len(facts.budgets)), key=facts.budgets.__getitem__):
        own = [at for at in wanted if assignment[at] == expert]
        own += [at for at, each in enumerate(assignment) if each == expert][:1]
        yield from own[:1]


def _labelled(facts: RunFacts, challenge: str) -> list[int]:
    """The places of the prompts of the second evaluation set that have a label."""
    facts.captions("partiprompts")  # refused where the data are not those that the run drew
    recipe = facts.record.what
    source: DatasetPlugin = registry.get("datasets", str(recipe.prompts))()
    rows = source.load(source.splits[-1], recipe.sizes.partiprompts)
    if "challenge" not in rows.column_names:
        raise FigureError(f"{recipe.prompts} has no labels of challenges; run with --set prompts=partiprompts")
    return [at for at, each in enumerate(rows["challenge"]) if each == challenge]


def _drawn(stock: Stock, rows: Sequence[Row], columns: tuple[str, ...] = ()) -> Drawn:
    panel = Panel(stock.figure.id, stock.figure.title, "", tuple(rows), columns)
    figure = samples.figure(panel, stock.title_of_one, stock.note)
    shown = [{"label": row.label, "tiles": [_shown(each) for each in row.tiles]} for row in rows]
    data = {
        "id": stock.figure.id,
        "title": stock.title_of_one,
        "note": stock.note,
        "columns": list(columns),
        "rows": shown,
    }
    return Drawn.of(figure, data)


def _shown(each: Tile) -> dict[str, str]:
    return {"text": each.text, "sha256": hashlib.sha256(each.png).hexdigest()}
