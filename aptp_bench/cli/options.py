"""Options that several commands share, worded once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

if TYPE_CHECKING:
    from aptp_bench.records import Record


def _keep(word: str) -> str:
    from aptp_bench.core.store import Keep as Known
    from aptp_bench.errors import ConfigError

    if word not in get_args(Known):
        raise ConfigError(f"--keep takes {' or '.join(get_args(Known))}; got '{word}'")
    return word


def _track(word: str | None) -> str | None:
    from aptp_bench.core.tracking import check_tracker

    if word is not None:
        check_tracker(word)
    return word


def _said_once(given: list[str] | None) -> list[str] | None:
    from aptp_bench.core.documents import said_once
    from aptp_bench.errors import ConfigError

    try:
        said_once(given or ())
    except ValueError as err:
        raise ConfigError(str(err)) from err
    return given


def set_option(meaning: str) -> Any:
    """A command's --set. Two lines that say the same key are refused."""
    return typer.Option("--set", callback=_said_once, help=meaning)


Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …; auto takes a GPU if there is one.")]
Refresh = Annotated[
    bool,
    typer.Option("--refresh", help="Make every stage of this run again, finished ones too; other runs keep theirs."),
]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify", help="Read every file of finished stages again, not only those whose size or time changed."
    ),
]
Keep = Annotated[
    str,
    typer.Option(
        callback=_keep,
        help="all, or tuned: when all is done, what fine-tuning began with goes: half of what networks take on disk. "
        "A later run that tunes the same networks otherwise prunes them again.",
    ),
]
Track = Annotated[
    str | None,
    typer.Option(
        callback=_track,
        help="Show the losses of trainings as they go by: tensorboard (in RUNS-DIR/tracking) or trackio.",
    ),
]
STDIN = Path("-")
IMAGE_KINDS = ("svg", "png")
ImageKinds = Annotated[str, typer.Option("--format", help="svg, png, or both with a comma between.")]
ResultsDir = Annotated[
    Path | None,
    typer.Option(
        help="Save the records here too, as aptp-bench submit does; default: only in the folders of the runs."
    ),
]


def records_in(results_dir: Path) -> dict[Path, Record]:
    """The records that can be read, by file; what cannot is named on stderr, a line each."""
    from aptp_bench.records import load_all

    found, malformed = load_all(results_dir)
    for reason in malformed.values():
        say(f"left out: {reason}", err=True)
    return found


def note_no_records(results_dir: Path) -> None:
    """Say on stderr, where there is no record, that nothing of ours is shown, and what to do."""
    from aptp_bench.records import FOLDER

    if not any((results_dir / FOLDER).glob("*.json")):
        what = f"note: there are no records in {results_dir / FOLDER}, so nothing of ours is shown; go to a checkout, "
        fix = "name its results with --results-dir, or submit a run of yours: aptp-bench submit RUN"
        typer.echo(what + fix, err=True)


def image_kinds(text: str) -> list[str]:
    """The kinds of image files that a comma stands between. Raises ConfigError for another."""
    from aptp_bench.errors import ConfigError

    found = [part.strip() for part in text.split(",") if part.strip()]
    for each in found or [text]:
        if each not in IMAGE_KINDS:
            raise ConfigError(f"--format draws {' and '.join(IMAGE_KINDS)}; got '{each}'")
    return list(dict.fromkeys(found))


def say(text: str, err: bool = False) -> None:
    """A line that holds what users wrote: prompts, names of files."""
    from aptp_bench.core.texts import visible

    typer.echo(visible(text), err=err)


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def asked_for(given: list[str], file: Path | None) -> list[str]:
    """The prompts of --prompt, then those of --prompts, which may be stdin. Raises ConfigError or DataError."""
    from aptp_bench.core import texts
    from aptp_bench.data import captions
    from aptp_bench.errors import ConfigError

    for prompt in given:
        if wrong := texts.flaw(prompt):
            raise ConfigError(f"--prompt {prompt!r} {wrong}; write a prompt")
    if file == STDIN:
        piped = texts.decoded(sys.stdin.buffer.read(), "stdin", "pipe UTF-8 text, a prompt a line, into --prompts -")
        return [*given, *captions.prompts_of(piped, "stdin")]
    return [*given, *(captions.prompts(file) if file is not None else [])]
