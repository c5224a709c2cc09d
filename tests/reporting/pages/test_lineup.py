"""Samples side by side: whose are shown, in which order, and that they are the runs' own."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest

from aptp_bench.reporting.pages import lineup
from aptp_bench.reporting.pages.run_facts import Source
from aptp_bench.reporting.ranking.boards import boards

CAPTIONS = ["a red car", "two <dogs> & a cat"]
FID = {"dense": 2.0, "b": 5.0, "a": 9.0}


@pytest.fixture
def shown(make_record: Callable[..., Any]) -> Callable[..., str]:
    """shown(captions by method, without) -> the picture of the board of three methods."""

    def draw(captions: dict[str, list[str]] | None = None, without: str = "") -> str:
        records = []
        for method, fid in FID.items():
            facts = {"captions": (captions or {}).get(method, CAPTIONS), "edge": 8, "sha256": "0" * 64}
            budget = 1.0 if method == "dense" else 0.78
            records.append(make_record(method, budget=budget, fid=(fid, fid - 0.1, fid + 0.1), samples=facts))
        sources = [
            Source(record, f"records/{m}.json", "", None if m == without else m.encode())
            for m, record in zip(FID, records, strict=True)
        ]
        (board,) = boards(records)
        return lineup.draw(board, sources)

    return draw


def images(svg: str) -> list[str]:
    return [base64.b64decode(data).decode() for data in re.findall(r"base64,([^\"]+)", svg)]


def test_every_method_has_its_own_sheet_in_the_order_of_the_board(shown: Callable[..., str]) -> None:
    assert images(shown()) == sorted(FID, key=FID.__getitem__)


def test_it_is_a_picture_that_says_what_was_asked_for(shown: Callable[..., str]) -> None:
    root = ET.fromstring(shown())
    (title,) = root.iter("{http://www.w3.org/2000/svg}title")
    assert all(caption in str(title.text) for caption in CAPTIONS)
    assert next(text.text for text in root.iter("{http://www.w3.org/2000/svg}text")) == "Dense"


def test_other_prompts_and_lost_sheets_are_left_out(shown: Callable[..., str]) -> None:
    assert images(shown({"b": ["something else", "again"]})) == ["dense", "a"]
    assert images(shown(without="a")) == ["dense", "b"]


def test_one_alone_is_no_comparison(shown: Callable[..., str]) -> None:
    assert shown({"a": ["x"], "b": ["y"]}) == ""
