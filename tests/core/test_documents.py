"""One line for what is wrong, and the nearest of the names that there are."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from aptp_bench.core.documents import Frozen, first_problem, meant, nearest, problem_of


class Inner(Frozen):
    steps: int


class Outer(Frozen):
    inner: Inner


def wrong(document: object) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(document)
    return caught.value


def test_a_problem_says_where_what_and_what_stands_there() -> None:
    where, what, got, unknown = problem_of(wrong({"inner": {"steps": "many"}}))
    assert (where, got, unknown) == ("inner.steps", "many", False) and "integer" in what
    assert problem_of(wrong({"inner": {"steps": 1, "stps": 2}})).unknown


def test_the_first_problem_is_one_line() -> None:
    assert first_problem(wrong({"inner": {"steps": 1}, "colour": 2})) == "colour: Extra inputs are not permitted"
    assert first_problem(wrong(3)).startswith("Input should be") and "\n" not in first_problem(wrong(3))
    assert first_problem(ValueError("one\ntwo")) == "one"
    assert first_problem(KeyError()) == "KeyError"


def test_a_misspelt_name_is_answered_with_the_nearest_whatever_its_case() -> None:
    assert meant("atpt", ["norm", "aptp"]) == "did you mean 'aptp'?"
    assert meant("a10", ["H100", "A100"]) == "did you mean 'A100'?"
    assert nearest("steps", ["step", "stops", "norm"], most=2) == ["step", "stops"]


def test_a_name_like_no_other_is_answered_with_all_or_with_other_words() -> None:
    assert meant("zzz", ["norm", "aptp"]) == "known: norm, aptp"
    assert meant("zzz", ["norm"], "see the list") == "see the list"
    assert meant("zzz", []) == "known: none"
