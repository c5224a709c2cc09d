"""Templates to pages: one file each, with its style and its script inside, that asks no network for anything."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from aptp_bench.budget import CONVENTIONS
from aptp_bench.records import Record
from aptp_bench.reporting.numbers import exact, macs, significant, span
from aptp_bench.reporting.pages.run_facts import measured_with
from aptp_bench.reporting.ranking.names import ARROWS, entry_title, headed, link, meaning, method_title, title

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the one in C is ten times as fast; both write the same


def render(template: str, **facts: Any) -> str:
    """The page `templates/<template>` makes of facts. Text in them is escaped; what is Markup is not."""
    return _templates().get_template(template).render(**facts).strip() + "\n"


def picture(png: bytes) -> str:
    """A PNG as the source of an <img>."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def audible(wav: bytes) -> str:
    """A WAV file as the source of an <audio>."""
    return f"data:audio/wav;base64,{base64.b64encode(wav).decode()}"


def data(document: Any) -> Markup:
    """A document as JSON that can stand inside a <script> element whatever its texts say."""
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def settings(record: Record) -> str:
    """All settings of a run as YAML."""
    return as_yaml(record.what.model_dump(mode="json"))


def as_yaml(asked: dict[str, Any]) -> str:
    """Settings, in their order."""
    return str(yaml.dump(asked, Dumper=DUMPER, sort_keys=False, allow_unicode=True))


@cache
def _templates() -> Environment:
    loader = PackageLoader("aptp_bench.reporting.pages", "templates")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    spoken = (
        *(audible, entry_title, exact, headed, link, macs, meaning, measured_with, method_title),
        *(picture, settings, significant, span, title),
    )
    made.globals.update({each.__name__: each for each in spoken}, arrows=ARROWS, conventions=CONVENTIONS)
    made.globals["source"] = lambda name: Markup(loader.get_source(made, name)[0])
    return made
