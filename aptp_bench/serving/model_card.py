"""The model card of what is published: what a record says of it, in words and tables, and how to load it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import yaml

from aptp_bench import registry
from aptp_bench.models.family import RANDOM
from aptp_bench.records import Record

FILE, RECORD = "README.md", "record.json"
WORLDS = {"mini": "the mini world", "smoke": "the mini world, on smoke scale", "paper": ""}
NETWORK = """import aptp_bench

unet = aptp_bench.load("{place}")
pipeline.unet = unet  # of a diffusers pipeline of the base model"""
MIXTURE = """from aptp_bench import RoutedPipeline, load

mixture = load("{place}")
pipeline = RoutedPipeline.of(base, mixture)  # base: a diffusers pipeline of the base model"""
PIPELINE = """from aptp_bench import RoutedPipeline

pipeline = RoutedPipeline.from_pretrained("{place}")
image = pipeline("a red car on a beach").images[0]"""


class Base(NamedTuple):
    """What was pruned. hub_id: None where it is not on the hub; licence: a name that the hub knows, "" if not known."""

    name: str
    hub_id: str | None
    licence: str

    @classmethod
    def of(cls, record: Record) -> Base:
        """The base model of a record. Raises UnknownNameError for a model that is not installed."""
        kind, weights = registry.get("models", record.what.model), record.what.weights
        ids = getattr(kind, "hub_ids", ())
        if weights is None or weights in ids:
            return cls(kind.name, weights or next(iter(ids), None), kind.licence)
        return cls(kind.name, weights if "/" in weights and weights != RANDOM else None, "")


def model_card(loading: str, place: str, record: Record | None = None, base: Base | None = None) -> str:
    """The card in the hub's Markdown. loading: NETWORK, MIXTURE or PIPELINE; place: a hub id, or a folder's name.

    record, base: of the run that made it; without them it says that nothing was measured. Ends with a line break.
    """
    code = f"## How to load it\n\n```python\n{loading.format(place=place)}\n```\n\nIt needs `aptp-bench`; all weights are safetensors."
    if record is None:
        parts = [
            f"# {place.rpartition('/')[2]}",
            "A pruned diffusion model. No record came with it: nothing was measured.",
            code,
        ]
    else:
        parts = [f"# {record.name}", _about(record, base), code, *_sections(record, base)]
    return f"---\n{_facts(record, base)}---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def _facts(record: Record | None, base: Base | None) -> str:
    """The card's metadata, as YAML."""
    facts: dict[str, Any] = {"library_name": "aptp-bench", "tags": ["diffusion", "pruning"]}
    if record is not None and record.task == "text-to-image":
        facts["pipeline_tag"] = record.task
    if base is not None and base.licence:
        facts["license"] = base.licence
    if base is not None and base.hub_id:
        facts["base_model"] = base.hub_id
    return yaml.safe_dump(facts, sort_keys=False)


def _about(record: Record, base: Base | None) -> str:
    what, budget, n = record.what, record.what.budget, len(record.experts)
    made = "one network" if n == 1 else f"{n} networks and a router that sends each prompt to one of them"
    of = base.hub_id or base.name if base is not None else what.model
    said = f"{of}, pruned by {what.method} to {budget.ratio:g} of its {budget.convention} MACs: {made}. "
    said += f"Trained and measured on {what.dataset}, seed {what.seed}."
    if WORLDS[record.world]:
        said += f"\n\n**All of it in {WORLDS[record.world]}: no number here is comparable with a paper's.**"
    return said + (f"\n\n{record.remark}" if record.remark else "")


def _sections(record: Record, base: Base | None) -> Iterable[str]:
    rows = [
        (name, f"{found.dense:,.0f}", f"{found.pruned:,.0f}", f"{found.ratio:.4f}")
        for name, found in record.macs.items()
    ]
    size = record.parameters
    rows.append(("parameters", f"{size.dense:,}", f"{size.per_image:,}", f"{size.per_image / size.dense:.4f}"))
    stored = f"Parameters stored, of all networks together: {size.stored:,}."
    costs = _table(("MACs of a call, counted as", "dense", "pruned", "share"), rows)
    yield f"## What it costs\n\n{costs}\n\nMeans over the evaluation prompts. {stored}"
    if len(record.experts) > 1:
        ratios = record.expert_ratios(record.what.budget.convention)
        pairs = enumerate(zip(record.experts, ratios, strict=True))
        own = [(str(i), f"{ratio:.3f}", str(one.eval_prompts), ", ".join(one.words)) for i, (one, ratio) in pairs]
        yield "## Experts\n\n" + _table(("expert", "share of the MACs", "prompts", "words"), own)
    if record.results:
        found = [_measured(name, one) for name, one in record.results.items()]
        head = ("metric", "value", "95 % interval", "unit", "better", "n")
        yield "## What was measured\n\n" + _table(head, found)
    how, commit = record.how, f", commit {record.how.commit}" if record.how.commit else ""
    changed = " with changes that no commit has" if record.how.dirty else ""
    yield (
        f"## How to get it again\n\n```bash\n{how.command}\n```\n\n"
        f"aptp-bench {how.versions.get('aptp-bench', 'of an unknown version')}{commit}{changed}; measured on {how.device}."
    )
    licence = f"`{base.licence}`" if base is not None and base.licence else "not known to aptp-bench; see its own page"
    yield f"## Licence\n\nThe weights derive from the base model's, whose licence is {licence}."


def _measured(name: str, one: Any) -> tuple[str, ...]:
    ends = "" if one.interval is None else f"{one.interval[0]:.4g} to {one.interval[1]:.4g}"
    return (
        name,
        f"{one.value:,.0f}" if abs(one.value) >= 10_000 else f"{one.value:.4g}",
        ends,
        one.unit,
        one.better,
        f"{one.n}",
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
