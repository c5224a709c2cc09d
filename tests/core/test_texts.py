"""Texts: what is one, where lines end, and which rows of JSON say one thing."""

from __future__ import annotations

import pytest

from aptp_bench.core.texts import LONGEST, decoded, flaw, is_json, lines, unambiguous_json, visible
from aptp_bench.errors import DataError


@pytest.mark.parametrize(
    "blank", ["", " ", "\u200b", "\ufe0f", "\u0301", "\u2800", "\u3164", "\u115f", "\uffa0", "\x1b"]
)
def test_what_shows_nothing_is_empty_and_may_stand_beside_letters(blank: str) -> None:
    assert flaw(blank * 3) == "is empty" and flaw(f"a{blank}b") is None


@pytest.mark.parametrize("odd", ["\0", "\ud800", "\udcff", "\ufffe", "\uffff"])
def test_what_is_no_character_is_in_no_text(odd: str) -> None:
    assert flaw(f"a car{odd}") == "holds what is no character"


def test_a_text_has_a_length_that_is_read_in_no_time() -> None:
    assert flaw("a" * LONGEST) is None
    assert "letters" in str(flaw("a " * LONGEST))


@pytest.mark.parametrize(
    "moving", ["\x1b[2J", "\x1b]0;title\x07", "a\rb", "\x9b31m", "a\nb", "\u202eexe", "\x7f", "\0"]
)
def test_a_line_moves_no_terminal(moving: str) -> None:
    assert visible(moving) != moving and visible(visible(moving)) == visible(moving)
    assert visible(moving).isprintable() and visible(moving).isascii()


def test_what_only_shows_is_shown_as_it_is() -> None:
    for text in ("a\tcar", "ein Bär \U0001f469\u200d\U0001f680", "\u05d0\u05d1", "C:\\x1b"):
        assert visible(text) == text


def test_marks_of_joined_files_are_no_part_of_their_lines() -> None:
    text = decoded("\ufeff\ufeffa\nb\n".encode() + "\ufeffc\ufeffd\n".encode(), "x", "")
    assert lines(text) == ["a", "b", "c\ufeffd", ""]
    with pytest.raises(DataError, match="x cannot be read as UTF-8"):
        decoded("a".encode("utf-16"), "x", "save it again")


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', '[{"b": {"a": 1, "\\u0061": 2}}]', "[" * 100_000, '{"a":' * 100_000, "9" * 5000]
)
def test_json_that_says_two_things_or_never_ends_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        unambiguous_json(text)


def test_a_row_of_json_is_told_from_a_text_in_braces() -> None:
    assert is_json('{"prompt": "a car"}')
    assert not any(map(is_json, ["{a car}", "a {} car", '{"a": ' * 9000 + "}", "[a]"]))
