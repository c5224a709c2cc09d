"""What plugins say of themselves before they are used."""

from __future__ import annotations

import re
from importlib import import_module
from inspect import get_annotations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

import aptp_bench
from aptp_bench import registry
from aptp_bench.cli.listings import facts
from aptp_bench.errors import ConfigError
from aptp_bench.records import Better


@pytest.mark.parametrize(("name", "place"), [("coco2014", "data/coco"), ("partiprompts-full", "data/PartiPrompts.tsv")])
def test_a_dataset_says_which_of_its_files_are_missing(name: str, place: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    reason = registry.get("datasets", name).unavailable()
    assert reason.startswith(f"{place} is not there; ") and "--set dataset_config." in reason
    (tmp_path / place).mkdir(parents=True)
    for complete in (name, "coco", "cc3m", "partiprompts"):
        assert registry.get("datasets", complete).unavailable() is None


class Unwritten(aptp_bench.Method):
    """It lacks its one function."""

    name = "stranger"


class Misnamed(aptp_bench.Metric):
    """Its name is not its entry point's."""

    name, unit, better, needs = "other", "", "neither", frozenset()

    def __call__(self, evidence: Any) -> Any:
        """Nothing."""


class Silent(aptp_bench.Metric):
    """It says neither its unit nor what it needs."""

    name, better = "stranger", "neither"

    def __call__(self, evidence: Any) -> Any:
        """Nothing."""


class Bigger(Misnamed):
    """Its direction is none."""

    name, better = "stranger", "bigger"  # type: ignore[assignment]


def failing() -> None:
    raise RuntimeError("this package\nneeds a GPU")


STRANGERS: list[tuple[str, Any, str]] = [
    ("methods", failing, r"method 'stranger' of \w+ cannot be imported \(RuntimeError: this package needs a GPU\)"),
    ("methods", lambda: print, "print does not derive from aptp_bench's Method"),
    ("datasets", lambda: Unwritten, "Unwritten does not derive from aptp_bench's DatasetPlugin"),
    ("routers", lambda: Unwritten, "does not derive from aptp_bench's Router"),
    ("methods", lambda: Unwritten, "Unwritten has no prune; write it"),
    ("metrics", lambda: Silent, "Silent does not say its unit and its needs; name each on the class"),
    ("metrics", lambda: Bigger, "Bigger.better is 'bigger'; let it be one of higher, lower, neither"),
    ("metrics", lambda: Misnamed, "Misnamed.name is 'other'; let it be 'stranger'"),
]


@pytest.mark.parametrize(("group", "load", "line"), STRANGERS, ids=[line for _, _, line in STRANGERS])
def test_a_strangers_broken_plugin_is_said_in_one_line_and_stops_no_listing(group: str, load: Any, line: str) -> None:
    entry: Any = SimpleNamespace(name="stranger", load=load, dist=None)
    plugin = registry.Registration(group, "stranger", "somebody", entry)
    with pytest.raises(ConfigError, match=line) as caught:
        plugin.load()
    assert "\n" not in str(caught.value)
    assert facts(plugin)["unavailable"] == str(caught.value)


@pytest.mark.parametrize("group", registry.GROUPS)
def test_every_plugin_of_ours_keeps_to_its_contract(group: str) -> None:
    assert all(plugin.load() for plugin in registry.plugins(group).values())


def test_the_words_that_facts_are_checked_against_are_those_of_the_contracts() -> None:
    found: dict[str, tuple[str, ...]] = {"better": get_args(Better)}
    for module, base in registry.CONTRACTS.values():
        for key, said in get_annotations(getattr(import_module(f"aptp_bench.{module}"), base)).items():
            if words := re.search(r"ClassVar\[Literal\[(.*)]]", said):
                found[key] = tuple(re.findall(r"\w+", words[1]))
    assert found == registry.ONE_OF
