"""PartiPrompts: the published TSV, quotation marks left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from aptp_bench.data.partiprompts import PartiPrompts, read
from aptp_bench.errors import DataError

REAL = Path(__file__).parents[3] / "shared" / "data" / "PartiPrompts.tsv"
HEADER = "Prompt\tCategory\tChallenge\tNote\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "PartiPrompts.tsv"
    file.write_text(HEADER + '"OPEN" on a sign\tArtifacts\tWriting & Symbols\t\nthe word "TO\tArts\tBasic\tnote\n')
    return file


def test_columns_and_quotation_marks(path: Path) -> None:
    rows = PartiPrompts(path=path).load("val")
    assert list(rows["caption"]) == ['"OPEN" on a sign', 'the word "TO']
    assert list(rows["category"]) == ["Artifacts", "Arts"]
    assert list(rows["challenge"]) == ["Writing & Symbols", "Basic"]
    assert len(PartiPrompts(path=path).load("val", limit=1)) == 1


def test_a_short_line_is_named(path: Path) -> None:
    path.write_text(path.read_text() + "only a prompt\n")
    with pytest.raises(DataError, match="line 4: expected columns Prompt"):
        PartiPrompts(path=path).load("val")


def test_a_file_of_other_columns(path: Path) -> None:
    path.write_text("a\tb\n1\t2\n")
    with pytest.raises(DataError, match="expected columns Prompt, Category, Challenge"):
        PartiPrompts(path=path).load("val")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.tsv is missing"):
        PartiPrompts(path=tmp_path / "gone.tsv").load("val")


@pytest.mark.skipif(not REAL.is_file(), reason="the real PartiPrompts (../shared/data) are not here")
def test_the_real_prompts() -> None:
    rows = PartiPrompts(path=REAL).load("val")
    assert len(rows) == 1_632
    assert len(set(rows["category"])) == 12
    assert len(set(rows["challenge"])) == 11


@pytest.mark.parametrize(("text", "words"), [
    ("", "line 1: expected columns"), ("Prompt\tPrompt\tCategory\tChallenge\na\tx\tb\tc\n", "line 1: expected columns"),
    ("Prompt\tCategory\tChallenge\n", "no prompt"), ("Prompt\tCategory\tChallenge\n\u200b\tb\tc\n", "line 2: its prompt is empty"),
    ("Prompt\tCategory\tChallenge\na\0\tb\tc\n", "line 2"), ("Prompt\tCategory\tChallenge\na\tb\tc\td\n", "line 2: expected"),
])  # fmt: skip
def test_a_table_without_its_prompts_is_refused(path: Path, text: str, words: str) -> None:
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read(path)


def test_a_mark_of_utf8_is_no_part_of_the_first_column(path: Path) -> None:
    before = read(path)
    path.write_text("\ufeff" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert read(path) == before
