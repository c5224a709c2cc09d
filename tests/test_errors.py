from __future__ import annotations

import pytest

from aptp_bench.errors import ConfigError, in_python, spoken_in_python

LINES = [
    ("it removes nothing; use --budget 1", "it removes nothing; use budget=1"),
    ("use --budget with 0 < budget <= 1", "use budget with 0 < budget <= 1"),
    ("use another --method", "use another method"),
    ("needs weights: --set folder=… with a folder", "needs weights: folder=… with a folder"),
    ("make room with --set sampling.batch=4, or --runs-dir", "make room with sampling.batch=4, or runs_dir"),
    ("as --set takes them", "as settings takes them"),
    ("a well-known - and plain -- line", "a well-known - and plain -- line"),
]


@pytest.mark.parametrize(("command", "python"), LINES)
def test_hints_of_a_command_are_hints_of_a_call(command: str, python: str) -> None:
    assert in_python(command) == python
    with pytest.raises(ConfigError) as caught, spoken_in_python():
        raise ConfigError(command)
    assert str(caught.value) == python
