"""At 80 columns no list, table of options or help breaks a word."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import typer

from aptp_bench import registry
from aptp_bench.cli import app
from aptp_bench.reporting.paper_figures.catalog import catalog

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.fixture
def narrow(call: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """narrow(*words) -> stdout of a command in a window of 80 columns, none of whose lines is wider."""
    monkeypatch.setenv("COLUMNS", "80")

    def made(*words: str) -> str:
        out = call(*words)[1]
        wide = [line for line in out.splitlines() if len(line) > 80 and " " in line.strip()]
        assert not wide, wide
        return out

    return made


def words_of(text: str) -> set[str]:
    return set(re.split(r"[\s│]+", text))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_breaks_no_word(narrow: Any, name: str) -> None:
    said = words_of(narrow(name, "--help"))
    for option in COMMANDS[name].params:
        assert words_of(getattr(option, "help", "") or "") <= said, option.name
        assert not option.opts[0].startswith("-") or option.opts[0] in said


@pytest.mark.parametrize("columns", ["0", "1", "12"])
def test_a_window_in_which_no_word_has_room_fails_nothing(call: Any, monkeypatch: Any, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for words in (
        ["methods", "aptp"],
        ["methods", "aptp", "--all"],
        ["metrics"],
        ["figures"],
        ["doctor", "--scale", "smoke"],
    ):
        assert call(*words)[0] in (0, 1) and "aptp" in "".join(call(*words)[1].split()), words


@pytest.mark.parametrize("group", registry.LISTED)
def test_a_list_breaks_no_word(call: Any, narrow: Any, group: str) -> None:
    said = words_of(narrow(group))
    for row in json.loads(call(group, "--json")[1]):
        assert words_of(f"{row['name']} {row['summary']}") <= said, row["name"]


def test_the_list_of_figures_breaks_no_word(narrow: Any) -> None:
    said = words_of(narrow("figures"))
    for figure in catalog().values():
        assert words_of(f"{figure.id} {figure.title}") <= said, figure.id


def test_a_method_has_a_line_an_option_under_headings_and_all_of_it_when_asked(call: Any, narrow: Any) -> None:
    (row,) = json.loads(call("methods", "aptp", "--json")[1])
    brief, whole = narrow("methods", "aptp"), narrow("methods", "aptp", "--all")
    headings = [option["heading"] for option in row["options"] if option["heading"]]
    assert len(headings) > 3 and len(brief.splitlines()) < len(row["options"]) + 2 * len(headings) + 8
    assert all(heading in brief for heading in headings)
    for option in row["options"]:
        assert option["name"] in words_of(brief) and words_of(option["help"]) <= words_of(whole), option["name"]
