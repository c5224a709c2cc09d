"""One line for what is wrong, and the nearest of the names that there are."""

from __future__ import annotations

import math
from importlib.resources import files
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from aptp_bench.core.documents import (
    Frozen,
    first_problem,
    meant,
    nearest,
    problem_of,
    said_once,
    shipped_yaml,
    typed,
    written_yaml,
)


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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10), ("08", 8), ("+7", 7), ("-0", 0), ("0x10", 16), ("0o10", 8), ("1e-4", 1e-4), ("1.", 1.0), (".5", 0.5),
        ("-.inf", -math.inf), ("1:30", "1:30"), ("1_000", "1_000"), ("yes", "yes"), ("no", "no"), ("off", "off"), ("0b1", "0b1"),
        ("2020-13-45", "2020-13-45"), ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("'010'", "010"),
        ("[010, 1:30]", [10, "1:30"]), ("{a: no}", {"a": "no"}),
    ],
)  # fmt: skip
def test_plain_words_mean_what_yaml_1_2_says(text: str, value: Any) -> None:
    found = written_yaml(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    ["9" * 5000, "!!int x", "!!int ''", "!!float x", "!!bool x", "!!timestamp x", "!!binary 1", "[" * 5000, "\0"],
)
def test_whatever_is_wrong_with_a_document_is_one_kind_of_error(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        written_yaml(text)


def test_what_is_shipped_reads_alike_by_both_readers() -> None:
    folders = [
        files("aptp_bench.benchmarks").joinpath(name) for name in ("recipes", "mini", "paper", "tables", "speed")
    ]
    texts = [each.read_text("utf-8") for folder in folders for each in folder.iterdir() if each.name.endswith(".yaml")]
    assert len(texts) > 10
    for text in texts:
        assert written_yaml(text) == shipped_yaml(text)


class Counts(Frozen):
    one: int | None = None
    many: tuple[float, ...] = ()
    inner: Inner | None = None
    flag: bool = False
    any: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"one": True}, "one"), ({"many": [1, False]}, "many.1"), ({"inner": {"steps": True}}, "inner.steps"),
        ({"flag": True, "any": {"a": True}}, None), ({"one": 1, "many": [0], "flag": "no"}, None),
    ],
)  # fmt: skip
def test_true_and_false_are_no_numbers(document: dict[str, Any], where: str | None) -> None:
    if where is None:
        assert typed(Counts, document) == Counts.model_validate(document)
        return
    with pytest.raises(ValidationError) as caught:
        typed(Counts, document)
    assert problem_of(caught.value).where == where


@pytest.mark.parametrize("text", ["a: 1\na: 2", "x: [{b: 1, 'b': 2}]", "- &m {a: 1}\n- {<<: *m, b: 1, b: 2}"])
def test_a_key_that_stands_twice_is_no_yaml(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="stands there twice"):
        written_yaml(text)


@pytest.mark.parametrize("text", ["&a [*a]", "&a {b: *a}", "[&a [1, 1], &b [*a, *a]]"])
def test_a_document_that_holds_itself_is_none_and_aliases_are_fine(text: str) -> None:
    if "&b" in text:
        assert written_yaml(text)[1] == [[1, 1], [1, 1]]
        return
    with pytest.raises(yaml.YAMLError, match="holds itself"):
        written_yaml(text)


def test_a_document_that_means_millions_of_values_is_refused_at_once() -> None:
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 30)]
    with pytest.raises(yaml.YAMLError, match="values"):
        written_yaml("\n".join(["l0: &l0 [x]", *levels]))


@pytest.mark.parametrize(
    ("settings", "twice"),
    [
        (["seed=1", "seed=2"], "seed"), (["order=1", "method_config.order=2"], "order"), (["a.b=1", "a={b: 2}"], "a.b"),
        (["a.b=1", "a={c: 2}", "b=1", "a.bc=1"], None), (["a", "b"], None), ([], None),
    ],
)  # fmt: skip
def test_a_setting_is_said_once(settings: list[str], twice: str | None) -> None:
    if twice is None:
        assert said_once(settings) == settings
        return
    with pytest.raises(ValueError, match=f"'{twice}' is given twice"):
        said_once(settings)


def test_a_key_that_is_merged_in_may_stand_beside_its_change() -> None:
    both = written_yaml("- {<<: &m {a: 1, b: 2}, b: 3}\n- {<<: *m, b: 4}\n- *m")
    assert both == [{"a": 1, "b": 3}, {"a": 1, "b": 4}, {"a": 1, "b": 2}]
