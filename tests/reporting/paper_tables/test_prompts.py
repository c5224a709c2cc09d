from __future__ import annotations

import pytest

from aptp_bench.reporting.paper_tables.formats import FORMATS
from aptp_bench.reporting.paper_tables.layout import lay_out
from aptp_bench.reporting.paper_tables.prompts import places, prompt_lists


def test_the_lists_are_as_long_as_the_papers_and_name_their_source() -> None:
    lengths = {id: {name: len(own) for name, own in each.sets.items()} for id, each in prompt_lists().items()}
    assert lengths == {"aptp_8": {"CC3M": 16, "MS-COCO": 16}, "aptp_9": {"PartiPrompts": 20}}
    assert all("arXiv:2406.12042" in each.source and each.notes for each in prompt_lists().values())


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("id", ["aptp_8", "aptp_9"])
def test_every_prompt_is_printed_in_every_format(id: str, format: str) -> None:
    each = prompt_lists()[id]
    text = FORMATS[format]([each.filled()])
    assert each.name in text or format == "csv"
    for own in each.sets.values():
        assert all(prompt.split("’")[0].split("”")[0].split("&")[0] in text for prompt in own)
    assert len(lay_out(each.filled()).groups) == 1  # nothing is measured of prompts


def test_prompts_are_found_whatever_their_quotation_marks() -> None:
    printed = prompt_lists()["aptp_9"].sets["PartiPrompts"]
    captions = ["a dog", 'A bar of chocolate without a wrapper that has the word "WRAPPER" printed on it.', "a corgi"]
    assert places(printed, captions) == [2, 1]  # in the order of the list
    assert places(["a hat"], ["A hat .", "a hat"]) == [0]
