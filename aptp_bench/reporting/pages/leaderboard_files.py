"""The leaderboard's files: what the records give, to be written or to be held against what is there.

`leaderboard.md`, `leaderboard.html` and a README's block are compared to the byte. Figures are drawn by a matplotlib whose
version decides their bytes; they carry digests of their data and of themselves, and those are compared.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aptp_bench import records
from aptp_bench.budget import CONVENTIONS
from aptp_bench.core.files import write_text
from aptp_bench.errors import ConfigError
from aptp_bench.harness import contact_sheet, replicates
from aptp_bench.profiling import records as speed
from aptp_bench.records import Record
from aptp_bench.reporting.figures import style, svg_digest
from aptp_bench.reporting.figures.looks import looks_of
from aptp_bench.reporting.pages import leaderboard, lineup, markdown, wording
from aptp_bench.reporting.pages.run_facts import Source
from aptp_bench.reporting.ranking.boards import Board, boards_of, main_board
from aptp_bench.reporting.ranking.eligible import Apart, parted
from aptp_bench.reporting.ranking.matrix import Standings
from aptp_bench.reporting.ranking.names import method_title, title
from aptp_bench.reporting.ranking.selection import COUNTED, PAIRS, PREFIX, standings, tradeoffs
from aptp_bench.reporting.ranking.tradeoff import Tradeoff

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Shown = Tradeoff | Standings  # by a figure
BINARY = (".png", ".safetensors")
DRAWING = 2  # raised where figures are drawn in another way, so that they are drawn anew
OPEN, CLOSE = "<!-- leaderboard -->", "<!-- /leaderboard -->"
MARKDOWN, PAGE, FIGURES = "leaderboard.md", "leaderboard.html", "figures"
LINEUP = "samples-"


@dataclass(frozen=True)
class Publication:
    """All that the records of a results folder give. malformed: files that are no records, with the reason."""

    results: Path
    readme: Path | None
    found: Mapping[Path, Record]
    malformed: Mapping[Path, str]

    @classmethod
    def of(cls, results: Path, readme: Path | None = None) -> Publication:
        """readme: whose block is meant; default: the README.md beside the folder if it has the markers.

        Raises ConfigError if there is no record, or if a README that was named has no markers.
        """
        found, malformed = records.load_all(results)
        if not found and not malformed:
            what = f"{results / records.FOLDER} has no records"
            raise ConfigError(f"{what}; make one: aptp-bench run --method aptp --dataset coco")
        return cls(results, _readme(results, readme), found, {**malformed, **_malformed_speed(results)})

    @cached_property
    def boards(self) -> list[Board]:
        """Every board."""
        return boards_of(self._parted[0], replicates.of_all(self.found))

    @cached_property
    def figures(self) -> dict[str, Shown]:
        """File's name -> what it shows: the pairs of every board, its first quality metrics against MACs and time."""
        drawn: list[tuple[str, Shown]] = [*standings(self.boards), *tradeoffs(self.boards, leading=True)]
        return {f"{name}.svg": shown for name, shown in drawn}

    @cached_property
    def lineups(self) -> dict[str, tuple[Board, str]]:
        """File's name -> the board whose samples it shows, and its text: of every board with ranks."""
        found = {
            f"{name.replace(PAIRS, LINEUP, 1)}.svg": (shown.board, lineup.draw(shown.board, self._sources))
            for name, shown in standings(self.boards)
        }
        return {name: (board, text) for name, (board, text) in found.items() if text}

    @cached_property
    def apart(self) -> dict[str, list[str]]:
        """Why records stand on no board -> their paths in the results folder."""
        files = {id(record): f"{records.FOLDER}/{path.name}" for path, record in self.found.items()}
        found: dict[str, list[str]] = {}
        for record, why in self._parted[1]:
            found.setdefault(why, []).append(files[id(record)])
        return found

    @cached_property
    def pages(self) -> dict[Path, str]:
        """File -> its whole text. The README's other text is as it is."""
        here = {f"{FIGURES}/{name}": _samples(board) for name, (board, _) in self.lineups.items()}
        here |= {f"{FIGURES}/{name}": _words(shown) for name, shown in self.figures.items()}
        pages = {self.results / FIGURES / name: text for name, (_, text) in self.lineups.items()}
        pages |= {
            self.results / MARKDOWN: markdown.page(self.boards, here, self.apart),
            self.results / PAGE: leaderboard.page(
                leaderboard.Contents(self.boards, self._sources, self._digests, self.apart), here
            ),
        }
        return pages if self.readme is None else {**pages, self.readme: self._in_readme(self.readme)}

    def differences(self) -> list[str]:
        """What is not as the records give it, a line a file; nothing is written."""
        wrong = [why for _, why, _ in self._wrong()]
        return wrong + [f"{path} is of no record" for path in self._stale()]

    def write(self) -> list[Path]:
        """Write what differs, each file whole or not at all, and remove figures of no record; the files that changed.

        A figure that shows the right numbers stays as it is, whatever matplotlib drew it.
        """
        changed = self._stale()
        for path in changed:
            path.unlink()
        for path, _, due in self._wrong():
            text = due if isinstance(due, str) else svg_digest.seal(style.svg(_drawn(due)), _facts(due))
            changed.append(write_text(path, text))
        return changed

    def _wrong(self) -> Iterator[tuple[Path, str, str | Shown]]:
        """(file, how it is not as the records give it, its text or what it should show)."""
        for path, text in self.pages.items():
            if line := _difference(path, text):
                yield path, line, text
        for name, shown in self.figures.items():
            path = self.results / FIGURES / name
            if why := svg_digest.verify(_text(path), _facts(shown)) if path.is_file() else "is missing":
                yield path, f"{path} {why}", shown

    @cached_property
    def _parted(self) -> tuple[list[Record], list[Apart]]:
        return parted(self.found.values())

    @cached_property
    def _sources(self) -> list[Source]:
        return [
            Source(record, f"{records.FOLDER}/{path.name}", _sha256(path), contact_sheet.read(path, record.samples))
            for path, record in self.found.items()
        ]

    @cached_property
    def _digests(self) -> dict[str, str]:
        """Path in the results folder -> SHA-256, of every file that the page is made from."""
        speeds = [path for path in sorted((self.results / speed.FOLDER).glob("*.json")) if path not in self.malformed]
        sheets = sorted((self.results / contact_sheet.FOLDER).glob("*.png"))
        kept = sorted((self.results / replicates.FOLDER).glob("*.safetensors"))
        return {p.relative_to(self.results).as_posix(): _sha256(p) for p in [*self.found, *speeds, *sheets, *kept]}

    def _stale(self) -> list[Path]:
        """Our figures that the records do not give."""
        ours = [
            p for prefix in (LINEUP, PAIRS, PREFIX) for p in sorted((self.results / FIGURES).glob(f"{prefix}*.svg"))
        ]
        return [path for path in ours if path.name not in {*self.figures, *self.lineups}]

    def _in_readme(self, readme: Path) -> str:
        folder = Path(os.path.relpath(self.results, readme.parent)).as_posix()
        board, there = main_board(self.boards), f"{folder}/{FIGURES}"
        samples = {f"{there}/{name}": _samples(of) for name, (of, _) in self.lineups.items() if of is board}
        drawn = {name: shown for name, shown in self.figures.items() if board is not None and _speaks_of(shown, board)}
        figures = {f"{there}/{name}": _words(shown) for name, shown in drawn.items()}
        before, _, rest = _text(readme).partition(OPEN)
        _, _, after = rest.partition(CLOSE)
        return f"{before}{OPEN}\n\n{markdown.block(board, folder, samples, figures)}\n\n{CLOSE}{after}"


def _readme(results: Path, asked: Path | None) -> Path | None:
    beside = results.parent if results.name not in ("", "..") else Path(os.path.abspath(results)).parent
    readme = asked or beside / "README.md"
    text = _text(readme) if readme.is_file() else ""
    if OPEN in text and CLOSE in text.partition(OPEN)[2]:
        return readme
    if asked is None:
        return None
    raise ConfigError(
        f"{asked} has no block for the leaderboard; add the lines {OPEN} and {CLOSE} where it should stand"
    )


def _malformed_speed(results: Path) -> dict[Path, str]:
    wrong: dict[Path, str] = {}
    for path in sorted((results / speed.FOLDER).glob("*.json")):
        try:
            speed.load(path)
        except ConfigError as err:
            wrong[path] = str(err)
    return wrong


def _drawn(shown: Shown) -> Figure:
    from aptp_bench.reporting.figures.pareto import draw  # inside, as is all that draws: a check draws nothing
    from aptp_bench.reporting.figures.standings import draw as draw_standings

    return draw(shown) if isinstance(shown, Tradeoff) else draw_standings(shown)


def _facts(shown: Shown) -> dict[str, Any]:
    """All that decides how a figure looks, as plain data."""
    looks = {method_title(method): list(look) for method, look in looks_of(shown.entries).items()}
    return {"shown": shown.facts(), "looks": looks, "drawing": DRAWING}


def _speaks_of(shown: Shown, board: Board) -> bool:
    """Whether a figure is of a board's pairs, or of its leading metric against its MACs."""
    if isinstance(shown, Standings):
        return shown.board is board
    lead, entry = board.first_ranked, shown.points[0].entry
    return lead is not None and (shown.metric, shown.cost) == (lead.metric, COUNTED) and entry in board.group.entries


def _words(shown: Shown) -> str:
    if isinstance(shown, Standings):
        return f"who is ahead of whom, {wording.heading(shown.board)}, {shown.board.group.world}"
    record = shown.points[0].entry.first
    against = f"{shown.cost} MACs" if shown.cost in CONVENTIONS else title(shown.cost)
    return f"{title(shown.metric)} against {against}, {record.what.dataset}, {record.world}"


def _samples(board: Board) -> str:
    return f"the same prompts and noise by every method, {wording.heading(board)}, {board.group.world}"


def _difference(path: Path, text: str) -> str:
    """Where a file is not the text, in words; empty if it is, to the byte."""
    if not path.is_file():
        return f"{path} is missing"
    raw = path.read_bytes()
    if raw == text.encode():
        return ""
    lines = zip_longest(raw.split(b"\n"), text.encode().split(b"\n"))
    first = next((number for number, (one, other) in enumerate(lines, start=1) if one != other), 1)
    return f"line {first} of {path} is not what the records give"


def _text(path: Path) -> str:
    """A text file with its own line ends. Raises ConfigError if it is none."""
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as err:
        raise ConfigError(f"{path} is not UTF-8 text; delete it or save it as UTF-8") from err


def _sha256(path: Path) -> str:
    """Of a file's content with line ends as in the repository, so that a checkout on another system has the same."""
    raw = path.read_bytes()
    return hashlib.sha256(raw if path.suffix in BINARY else raw.replace(b"\r\n", b"\n")).hexdigest()
