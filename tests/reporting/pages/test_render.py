from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from aptp_bench.reporting.pages import render

EVIL = '</script><script>alert(1)</script> & "quoted" <!-- \' \u2028'


def test_data_is_the_document_and_ends_no_script_element() -> None:
    document = {"b": [1, 2.5, None], "a": EVIL}
    text = str(render.data(document))
    assert json.loads(text) == document
    assert not set("<>&") & set(text)
    assert text.index('"a"') < text.index('"b"')  # the same document gives the same bytes
    assert isinstance(render.data(document), Markup)


def test_data_is_read_back_by_a_browser_as_it_was(visit, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><script>window.found = {render.data({'a': EVIL})}</script>")
    assert visit(page).evaluate("window.found.a") == EVIL


def test_a_picture_is_its_bytes() -> None:
    source = render.picture(b"\x89PNG\r\n\xff")
    kind, _, text = source.partition(",")
    assert kind == "data:image/png;base64" and base64.b64decode(text) == b"\x89PNG\r\n\xff"


def test_a_fact_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render.render("report.html")
