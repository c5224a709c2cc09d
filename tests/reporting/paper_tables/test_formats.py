"""Every published number stands in its cell in every format, and text from data cannot break out of one."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from html import unescape
from pathlib import Path

import pytest

from aptp_bench.harness.suite import Suite
from aptp_bench.records import Record
from aptp_bench.reporting.numbers import significant
from aptp_bench.reporting.paper_tables.filled import FilledTable, fill
from aptp_bench.reporting.paper_tables.formats import FORMATS
from aptp_bench.reporting.paper_tables.layout import lay_out
from aptp_bench.reporting.paper_tables.published import PublishedTable, published

TABLES = list(published())
NASTY = r"a|b <script>alert(1)</script> & 50 % _x_ $y$ \input{/etc/passwd} ~^#{} [z](http://a) `c` * α ü ·"
DOCUMENT = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}\input{table}\end{document}"


def markdown_rows(text: str) -> list[list[str]]:
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in rows[2:]]


def html_rows(text: str) -> list[list[str]]:
    """The texts of the cells of every body row, small print apart by a space."""
    rows = re.findall(r"<tr\b.*?</tr>", text, re.DOTALL)[2:]
    cells = (re.findall(r"<(?:td|th)\b[^>]*>(.*?)</(?:td|th)>", row, re.DOTALL) for row in rows)
    return [[unescape(re.sub(r"<[^>]*>", "", cell.replace("<small>", " "))) for cell in row] for row in cells]


def latex_rows(text: str) -> list[list[str]]:
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0]
    return [line.removesuffix(r" \\").split(" & ") for line in body.strip().splitlines()]


ROWS: dict[str, Callable[[str], list[list[str]]]] = {"md": markdown_rows, "html": html_rows, "latex": latex_rows}


def printed(table: PublishedTable) -> list[list[str]]:
    """Every row as a paper prints it, from the reference file's values: signs in front of their numbers, – for nothing."""
    found = []
    for row in table.rows:
        cells = []
        for column in table.columns:
            if not column.key.endswith("_qualifier"):
                value, sign = row.values[column.key], row.values.get(f"{column.key}_qualifier") or ""
                text = f"{value:.{column.decimals}f}" if column.decimals and isinstance(value, float) else value
                text = ", ".join(text) if isinstance(text, tuple) else "–" if text is None else str(text)
                cells.append(f"{sign} {text}".strip())
        found.append(cells)
    return found


def plain(texts: Sequence[str]) -> list[str]:
    """LaTeX's spelling of what the tables hold, undone."""
    return [text.replace("--", "–").replace("$>$", ">") for text in texts]


@pytest.mark.parametrize("id", TABLES)
def test_every_published_number_stands_in_its_cell_in_every_format(id: str, committed: list[Record]) -> None:
    table = published()[id]
    filled, expected = fill(table, committed), printed(table)
    width = len(expected[0])
    for format, rows_of in ROWS.items():
        rows = rows_of(FORMATS[format]([filled]))
        assert [plain(row[1 : 1 + width]) for row in rows[: len(expected)]] == expected
        for row, line in zip(table.rows, rows, strict=False):
            assert row.setting in line[0] and (format == "latex" or row.label in line[0])
    lines = list(csv.DictReader(io.StringIO(FORMATS["csv"]([filled]))))
    assert {line["table"] for line in lines} == {id}
    for place, row in enumerate(table.rows):
        for column, line in zip(table.columns, lines[place * len(table.columns) :], strict=False):
            assert (line["row"], line["setting"], line["column"]) == (row.label, row.setting, column.key)
            value = row.values[column.key]
            if isinstance(value, int | float):
                assert line["published"] and float(line["published"]) == value
            else:
                words = [value] if isinstance(value, str) else value or []
                assert line["published"] == ", ".join(words)
    assert not any(line["difference"] or line["relative_difference"] for line in lines)


@pytest.mark.parametrize("format", FORMATS)
def test_a_changed_reference_number_changes_the_output(format: str) -> None:
    table = published()["aptp_1b"]
    row = table.rows[4]
    changed = row.model_copy(update={"values": {**row.values, "fid": 22.61}})
    other = table.model_copy(update={"rows": (*table.rows[:4], changed, *table.rows[5:])})
    before, after = (FORMATS[format]([fill(each, [])]) for each in (table, other))
    assert "22.60" in before and "22.61" not in before
    assert "22.61" in after and "22.60" not in after


def test_csv_is_for_machines(made: Callable[..., Record]) -> None:
    records = [made("aptp_1b", "SP", "mini", fid=5.123456), made("aptp_1b", "SP", "paper", fid=63.09)]
    lines = csv.DictReader(io.StringIO(FORMATS["csv"]([fill(published()["aptp_1b"], records)])))
    fid, cmmd = (line for line in lines if line["row"].startswith("SP") and line["column"] in ("fid", "cmmd"))
    assert (fid["ours_mini"], fid["mini_low"], fid["mini_high"]) == ("5.12346", "4.12346", "6.12346")
    assert (fid["ours_paper"], fid["difference"], fid["relative_difference"]) == ("63.09", "10", "0.188359")
    assert (fid["mini_seeds"], fid["mini_n"], fid["mini_command"]) == ("1", "50", "")
    assert (cmmd["ours_mini"], cmmd["mini_note"], cmmd["unit"]) == ("", "not measured", "")


def test_every_mini_column_says_so_and_what_is_missing_is_said(committed: list[Record]) -> None:
    filled = fill(published()["aptp_1b"], committed)
    paper, mini = lay_out(filled).groups[1:]
    assert all(heading.endswith("\nmini") for heading in mini.headings) and len(mini.headings) == 6
    assert paper.headings == ("ours, paper scale",) and set(paper.cells) == {("not run",)}
    for format in ROWS:
        text = FORMATS[format]([filled])
        assert "not with published ones" in text and "not run" in text and "--scale paper" in text


def test_a_paper_run_shows_its_difference_and_why_others_have_none(made: Callable[..., Record]) -> None:
    record = made("aptp_1b", "SP", "paper", fid=63.09, latency=2.0)
    sheet = lay_out(fill(published()["aptp_1b"], [record]))
    macs, latency, fid, *_, seeds = sheet.groups[1].cells[1]
    assert fid == "63.09\n[62.1, 64.1]\n(+10.0, +18.8 %)" and seeds == "1"
    assert macs == "60.00\n60.00 exact\n(-1011.4, -94.4 %)" and "(" not in latency
    notes = " ".join(note.text for note in sheet.notes)
    assert "No difference for Latency (@768): seconds are those of another machine" in notes
    assert "difference to the published number" in notes and sheet.groups[2].cells[1] == ("not run",)


def test_the_same_records_give_the_same_bytes(committed: list[Record]) -> None:
    tables = [published()[id] for id in ("aptp_1b", "aptp_4", "aptp_7")]
    first, second = ([fill(table, records) for table in tables] for records in (committed, [*committed]))
    for write in FORMATS.values():
        text = write(first)
        assert text == write(second) and not re.search(r"/(tmp|home|root)/|20\d\d-\d\d-\d\d", text)


def nasty() -> FilledTable:
    table = published()["aptp_3"]
    rows = (table.rows[0].model_copy(update={"label": NASTY}), *table.rows[1:])
    return fill(table.model_copy(update={"rows": rows, "title": NASTY, "notes": NASTY}), [])


def test_text_cannot_break_out_of_its_cell() -> None:
    table, text = nasty(), FORMATS["md"]([nasty()])
    rows = markdown_rows(text)
    assert {len(row) for row in rows} == {8} and not re.search(r"(?<!\\)<script", text)
    assert r"a\|b \<script>alert" in rows[0][0] and r"\_x\_" in rows[0][0] and r"\[z](http" in rows[0][0]
    text = FORMATS["html"]([table])
    assert "<script>alert" not in text and NASTY in html_rows(text)[0][0]
    lines = list(csv.reader(io.StringIO(FORMATS["csv"]([table]))))
    assert {len(line) for line in lines} == {len(lines[0])} and lines[1][1] == NASTY


def test_latex_is_ascii_whatever_the_names() -> None:
    text = FORMATS["latex"]([nasty(), fill(published()["ld_pruner_1"], []), fill(published()["aptp_7"], [])])
    assert text.isascii() and r"\input{/etc" not in text
    assert r"W\"{u}rstchen" in text and r"Pixart-$\alpha$" in text and r"DALL$\cdot$E" in text
    assert r"\textbackslash{}input\{/etc/passwd\}" in text


def compiled(folder: Path, tables: Sequence[FilledTable]) -> str:
    """What pdflatex said of a document with these tables."""
    binary = shutil.which("pdflatex")
    if binary is None:
        pytest.skip("no pdflatex here: apt-get install texlive-latex-recommended")
    (folder / "table.tex").write_text(FORMATS["latex"](tables), encoding="utf-8")
    (folder / "document.tex").write_text(DOCUMENT, encoding="utf-8")
    words = [binary, "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "document.pdf").stat().st_size > 10_000
    return done.stdout


def test_the_latex_of_every_table_compiles_and_fits_its_page(committed: list[Record], tmp_path: Path) -> None:
    said = compiled(tmp_path, [fill(published()[id], committed) for id in TABLES])
    assert "Overfull" not in said and "too large" not in said


def test_the_latex_of_nasty_text_and_of_paper_runs_compiles(made: Callable[..., Record], tmp_path: Path) -> None:
    scores = dict.fromkeys(("fid", "clip_score", "cmmd", "latency"), 50.0)
    records = [made("aptp_1b", run.label, "paper", **scores) for run in Suite.load("aptp_1b", "paper").runs()]
    assert "Output written on document.pdf" in compiled(tmp_path, [nasty(), fill(published()["aptp_1b"], records)])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((3.2, "3.200"), (0.78, "0.7800"), (1.0, "1.000"), (0.0, "0.000"), (1076.62, "1076.6"), (41667.2, "41,667")),
        *((0.0201, "0.02010"), (84.5, "84.50"), (-3.14159, "-3.142")),
    ],
)
def test_numbers_keep_four_digits(value: float, text: str) -> None:
    assert significant(value) == text and significant(-value).lstrip("-") == text.lstrip("-")


def test_ends_of_intervals_keep_three_digits() -> None:
    assert [significant(value, 3) for value in (0.012664, 123.4, 1076.62)] == ["0.0127", "123", "1076.6"]
