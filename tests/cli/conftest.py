"""Commands called in this process, in an empty folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> Callable[..., tuple[int, str]]:
    """call(*words) -> (exit code, stdout) of a command in an empty folder, on a wide terminal; call.err: its stderr."""
    from aptp_bench.cli import app
    from aptp_bench.cli.failures import outcome

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def made(*words: str) -> tuple[int, str]:
        capfd.readouterr()
        code = outcome(lambda: app(list(words), standalone_mode=False))
        said = capfd.readouterr()
        made.err = said.err  # type: ignore[attr-defined]
        return code, said.out

    return made
