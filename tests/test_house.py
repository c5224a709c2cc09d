"""The house keeps its own rules: what the README promises is what is run, and the harness names no plugin."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from aptp_bench import __version__, registry

ROOT = Path(__file__).parents[1]


def command_after(marker: str) -> str:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    return lines[lines.index(f"<!-- {marker} -->") + 2]


@pytest.mark.parametrize("marker", ["run", "tests"])
def test_the_readmes_commands_are_one_line_that_sets_itself_up(marker: str) -> None:
    command = command_after(marker)
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert command.endswith({"run": "aptp-bench run --method aptp --dataset coco", "tests": "tox"}[marker])


def test_ci_runs_the_readmes_test_command() -> None:
    assert "'<!-- tests -->' README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_version_is_in_the_changelog_or_unreleased() -> None:
    assert re.search(rf"^## ({re.escape(__version__)}|Unreleased)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_every_package_is_in_the_wheel(tracked: Path) -> None:
    listed = (tracked / "pyproject.toml").read_text(encoding="utf-8")
    for top, prefix in (
        ("aptp_bench", ""),
        ("methods", "aptp_bench."),
        ("metrics", "aptp_bench."),
        ("benchmarks", "aptp_bench."),
    ):
        for file in (tracked / top).rglob("__init__.py"):
            assert f'"{prefix}{".".join(file.parent.relative_to(tracked).parts)}"' in listed, file.parent


def test_the_harness_imports_no_method_and_no_metric() -> None:
    plugin = re.compile(r"aptp_bench\.(methods|metrics)(\.|$)")
    for file in sorted((ROOT / "aptp_bench").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if plugin.match(name)], file


def test_no_import_runs_in_a_circle() -> None:
    """Neither at run time, nor inside functions, nor for types alone."""
    grimp = pytest.importorskip("grimp", reason="pip install import-linter")
    graph = grimp.build_graph("aptp_bench", cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert set(TopologicalSorter(imports).static_order()) == graph.modules  # raises CycleError, naming the circle


@pytest.mark.parametrize("group", registry.GROUPS)
def test_every_plugin_loads_and_bears_the_name_it_is_registered_under(group: str) -> None:
    for name, plugin in registry.plugins(group).items():
        assert plugin.load().name == name


def test_nothing_is_unpickled() -> None:
    forbidden = re.compile(r"\bimport pickle|pickle\.loads?\(|torch\.load\(|allow_pickle=True|yaml\.load\(")
    for folder in ("aptp_bench", "methods", "metrics", "benchmarks"):
        for file in (ROOT / folder).rglob("*.py"):
            code = re.sub(r"\"[^\"\n]*\"|'[^'\n]*'", "", file.read_text(encoding="utf-8"))
            assert not forbidden.search(code), file


def test_a_record_names_no_place_of_the_machine_that_made_it(tracked: Path) -> None:
    files, place = sorted((tracked / "results").rglob("*.json")), re.compile(r"(?<![\w.])/(tmp|home|root|work|Users)/")
    assert files and not [file.name for file in files if place.search(file.read_text(encoding="utf-8"))]
