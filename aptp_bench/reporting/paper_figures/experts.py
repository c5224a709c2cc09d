"""What the experts of a run serve and keep (APTP, Figs. 8 to 10)."""

from __future__ import annotations

from aptp_bench.core.progress import SilentProgress
from aptp_bench.reporting.figures import blocks, loads
from aptp_bench.reporting.figures.facts import RunFacts
from aptp_bench.reporting.paper_figures.drawn import Drawn, footed
from aptp_bench.reporting.paper_figures.stock import Stock, only
from aptp_bench.reporting.paper_tables.published import PublishedTable


def served(stock: Stock) -> Drawn:
    """Fig. 8: the training prompts of every expert, in the order of their cost, of the first seed."""
    record = only(stock.items).records[0]
    convention = record.what.budget.convention
    ratios = record.expert_ratios(convention)
    order = sorted(range(len(ratios)), key=ratios.__getitem__)
    counts = {"training prompts": [record.experts[place].train_prompts for place in order]}
    budgets = [ratios[place] for place in order]
    printed = [row.values["macs_ratio"] for row in PublishedTable.get("aptp_2").rows]
    words = ", ".join(str(each) for each in printed)
    figure = loads.bars(counts, budgets, "", convention)
    note = f"{stock.note}. Published budgets of its 16 experts (Table 2): {words}"
    data = {"id": stock.figure.id, "title": stock.title_of_one, "note": note, "convention": convention}
    data |= {"served": counts, "budgets": budgets, "published_budgets": printed}  # type: ignore[dict-item]
    return Drawn.of(footed(figure, stock.title_of_one, note), data)


def kept(stock: Stock) -> Drawn:
    """Figs. 9 and 10: experts by blocks, of the first seed."""
    facts = RunFacts(only(stock.items).runs[0])
    found = blocks.kept(facts, SilentProgress())
    figure = blocks.heat_map(found, facts.budgets, "", facts.convention)
    data = {"id": stock.figure.id, "title": stock.title_of_one, "note": stock.note, "convention": facts.convention}
    data |= {"budgets": facts.budgets, "kept": found}  # type: ignore[dict-item]
    return Drawn.of(footed(figure, stock.title_of_one, stock.note), data)
