"""Tables as Markdown, CSV, LaTeX and HTML. Text from data is escaped, and the same records give the same bytes."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from aptp_bench.reporting.numbers import exact
from aptp_bench.reporting.paper_tables.filled import Cell, CellValue, FilledTable, Line
from aptp_bench.reporting.paper_tables.layout import Group, Note, Sheet, lay_out
from aptp_bench.reporting.paper_tables.readings import WORLDS

HEADER = ("table", "row", "setting", "column", "unit", "published")
OURS = ("ours_{}", "{}_low", "{}_high", "{}_unit", "{}_seeds", "{}_n", "{}_note", "{}_command")
DIFFERENCE = ("difference", "relative_difference")

LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": "$<$", ">": "$>$", "|": "$|$", '"': "''", "–": "--",
    "—": "---", "·": r"$\cdot$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "×": r"$\times$", "±": r"$\pm$", "−": "$-$",
    "’": "'", "…": "...", "†": r"$\dagger$", "≤": r"$\le$",
}  # fmt: skip
ACCENTS = {"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u0327": "c ", "\u030c": "v "}
LATEX_HEAD = r"""% Needs \usepackage{booktabs,graphicx}. A part is shrunk to the line only where it is wider.
\providecommand{\stacked}[2]{\begin{tabular}[t]{@{}#1@{}}#2\end{tabular}}"""


def markdown(tables: Sequence[FilledTable]) -> str:
    """Every table under a heading, as GitHub's Markdown."""
    return "\n".join(_markdown(lay_out(table)) for table in tables)


def latex(tables: Sequence[FilledTable]) -> str:
    """Every table as a float with a part for each world, for \\input; ASCII only."""
    return "\n".join([LATEX_HEAD, *(_latex(lay_out(table)) for table in tables)]) + "\n"


def html(tables: Sequence[FilledTable]) -> str:
    """One page that needs nothing else."""
    from aptp_bench.reporting.pages.render import render

    return render("tables.html", sheets=[lay_out(table) for table in tables])


def comma_separated(tables: Sequence[FilledTable]) -> str:
    """One line a cell, for machines: numbers in full, commands that would fill what is missing."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    ours = [name.format(world) for world in WORLDS for name in OURS]
    writer.writerow([*HEADER, *ours, *DIFFERENCE])
    for table in tables:
        for line in table.lines:
            writer.writerows(_csv_row(table, line, cell) for cell in line.cells)
    return stream.getvalue()


FORMATS: dict[str, Callable[[Sequence[FilledTable]], str]] = {
    "md": markdown,
    "csv": comma_separated,
    "latex": latex,
    "html": html,
}


def _grid(labels: Sequence[str], groups: Sequence[Group]) -> list[list[str]]:
    """Headings, and below them a row a label."""
    headings = ["", *(heading for group in groups for heading in group.headings)]
    rows = [[label, *(text for group in groups for text in group.cells[i])] for i, label in enumerate(labels)]
    return [headings, *rows]


def _markdown(sheet: Sheet) -> str:
    header, *rows = _grid([label.replace("\n", ", ") for label in sheet.labels], sheet.groups)
    header = [heading.replace("\n", ", ") for heading in header]
    rule = [":--", *(":--" if words else "--:" for group in sheet.groups for words in group.texts)]
    lines = [f"## {_markdown_text(sheet.name)}: {_markdown_text(sheet.title)}", ""]
    lines += [f"| {' | '.join(map(_markdown_text, header))} |", f"| {' | '.join(rule)} |"]
    lines += [f"| {' | '.join(map(_markdown_text, row))} |" for row in rows]
    notes = [f"- {_markdown_text(note.text)}{f' `{note.command}`' if note.command else ''}" for note in sheet.notes]
    return "\n".join([*lines, "", *notes, ""])


def _markdown_text(text: str) -> str:
    """Text that Markdown leaves as it is, in a cell too."""
    return re.sub(r"([\\`*_|<]|\[(?=[^\]]*\][(\[:]))", r"\\\1", " ".join(text.split()))


def _csv_row(table: FilledTable, line: Line, cell: Cell) -> list[str]:
    column = cell.column
    row = [table.table.id, line.label, line.setting, column.key, column.unit or "", column.printed(cell.published)]
    for world in WORLDS:
        row += _csv_found(cell.ours.get(world))
    gap = cell.ours["paper"].difference if "paper" in cell.ours else None
    return [*row, *([exact(gap.absolute), exact(gap.relative)] if gap else ["", ""])]


def _csv_found(found: CellValue | None) -> list[str]:
    if found is None:
        return [""] * (len(OURS) - 2) + ["not measured here", ""]
    if found.summary is None:
        return [""] * (len(OURS) - 2) + [found.reason or found.text, found.command]
    low, high = found.summary.interval or (None, None)
    ends = [exact(found.summary.value), exact(low), exact(high)]
    return [*ends, found.unit, str(found.summary.seeds), str(found.summary.n), found.beside, ""]


def _latex(sheet: Sheet) -> str:
    lines = [r"\begin{table}[htbp]", r"\centering\footnotesize\setlength{\tabcolsep}{4pt}"]
    lines += [rf"\caption{{{_latex_text(sheet.name)}: {_latex_text(sheet.title)}}}", rf"\label{{tab:{sheet.id}}}"]
    for title, groups in _parts(sheet):
        lines += [rf"\textit{{{_latex_text(title)}}}\\[2pt]", *_tabular(sheet.labels, groups), r"\par\medskip"]
    lines += [rf"\parbox{{\linewidth}}{{\scriptsize {' '.join(map(_latex_note, sheet.notes))}}}"]
    return "\n".join([*lines, r"\end{table}"])


def _parts(sheet: Sheet) -> Iterator[tuple[str, list[Group]]]:
    """What stands side by side: a page is too narrow for two worlds, but single columns find room beside the paper's."""
    first, *others = sheet.groups
    yield first.title, [first, *(group for group in others if len(group.headings) == 1)]
    yield from ((group.title, [group]) for group in others if len(group.headings) > 1)


def _tabular(labels: Sequence[str], groups: Sequence[Group]) -> Iterator[str]:
    """A tabular that is never wider than the line."""
    columns = "".join("l" if words else "r" for group in groups for words in group.texts)
    header, *body = [" & ".join(map(_latex_cell, row, f"l{columns}")) + r" \\" for row in _grid(labels, groups)]
    yield r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
    yield rf"\begin{{tabular}}{{l{columns}}}"
    yield from (r"\toprule", header, r"\midrule", *body, r"\bottomrule")
    yield r"\end{tabular}}"


def _latex_note(note: Note) -> str:
    code = rf" \texttt{{{_latex_text(note.command)}}}" if note.command else ""
    return rf"{_latex_text(note.text)}{code}\par"


def _latex_cell(text: str, side: str) -> str:
    """A text whose lines stand below one another, the others smaller."""
    first, *others = map(_latex_text, text.split("\n"))
    if not others:
        return first
    below = "".join(rf"\\[-1pt]\scriptsize {line}" for line in others)
    return rf"\stacked{{{side}}}{{{first}{below}}}"


def _latex_text(text: str) -> str:
    """Text in ASCII that LaTeX prints as it is; a line that would begin with [ is kept from being read as an option."""
    found = "".join(map(_latex_letter, " ".join(text.split())))
    return f"{{}}{found}" if found.startswith(("[", "*")) else found


def _latex_letter(letter: str) -> str:
    if letter in LATEX:
        return LATEX[letter]
    if letter.isascii():
        return letter
    parts = unicodedata.normalize("NFKD", letter)
    if len(parts) == 2 and parts[0].isascii() and parts[1] in ACCENTS:
        return rf"\{ACCENTS[parts[1]]}{{{parts[0]}}}"
    greek = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(letter, ""))
    if greek:
        name = greek[2].lower()
        return rf"$\{name if greek[1] == 'SMALL' else name.capitalize()}$"
    return parts if parts.isascii() else f"[U+{ord(letter):04X}]"
