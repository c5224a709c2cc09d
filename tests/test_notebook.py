"""The notebook runs from top to bottom, in a folder of its own choosing, and its plots say what they show."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "results.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory, tracked: Path) -> Any:
    """The notebook after a run beside a copy of the committed results, warnings as errors."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    home = tmp_path_factory.mktemp("checkout")
    shutil.copytree(tracked / "results", home / "results")
    (home / "notebooks").mkdir()
    read = nbformat.read(NOTEBOOK, as_version=4)
    strict = nbformat.v4.new_code_cell("import warnings\nwarnings.simplefilter('error', UserWarning)")
    read.cells.insert(0, strict)
    nbclient.NotebookClient(read, timeout=300, resources={"metadata": {"path": home / "notebooks"}}).execute()
    return read


def outputs(executed: Any, kind: str) -> list[str]:
    cells = [output for cell in executed.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output.data[kind] for output in cells if kind in output.get("data", {})]


def test_every_cell_runs_and_none_says_anything_on_stderr(executed: Any) -> None:
    cells = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    said = [output for cell in cells for output in cell.outputs if output.output_type == "stream"]
    assert said == []


def test_it_shows_the_records_and_the_main_plots(executed: Any, tracked: Path) -> None:
    tables, pictures = outputs(executed, "text/html"), outputs(executed, "image/png")
    records = list((tracked / "results" / "records").glob("*.json"))
    assert f"{len(records)} rows" in tables[0] or tables[0].count("<tr") == len(records) + 1
    assert len(pictures) == 4 and all(len(base64.b64decode(picture)) > 10_000 for picture in pictures)
    assert any("ld_pruner" in table and "[" in table for table in tables[2:])


def test_it_is_kept_without_outputs() -> None:
    nbformat = pytest.importorskip("nbformat")
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert cells and not any(cell.outputs or cell.execution_count for cell in cells)
