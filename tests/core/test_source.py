"""What a digest of source sees, tried on a small package that a process of its own reads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aptp_bench.core.source import source_digest

FILES = {
    "__init__.py": "from mine.room import Base\n",
    "main.py": '''
"""Words."""
from __future__ import annotations
import os.path
from typing import TYPE_CHECKING
from mine import Base, other as alias
from mine.lazy import late
from mine.room import helper as h
if TYPE_CHECKING:
    from mine.types import Shape
LIMIT = 3
UNUSED = 4
class Thing(Base):
    """A thing."""
    def work(self, x: Shape) -> int:  # done
        return h(x) + alias.used() + LIMIT
    def rest(self):
        return late()
def unused():
    return UNUSED
''',
    "room.py": "class Base:\n    size = 1\ndef helper(x):\n    from mine import deep\n    return deep.inner(x)\n",
    "other.py": "REGISTER = []\nREGISTER.append(1)\ndef used():\n    return 1\ndef not_used():\n    return 2\n",
    "deep.py": "def inner(x):\n    return x\ndef outer(x):\n    return x\n",
    "types.py": "class Shape:\n    sides = 3\n",
    "lazy.py": "from importlib import import_module\ndef __getattr__(name):\n    return getattr(import_module('mine.far'), name)\n",
    "far.py": "def late():\n    return 1\n",
}
COMMAND = """
import sys
sys.path.insert(0, sys.argv[1])
from mine.main import Thing
from aptp_bench.core.source import source_digest
print(source_digest(Thing), source_digest(Thing.work))
"""


@pytest.fixture
def digests(tmp_path: Path) -> Callable[..., list[str]]:
    """digests(file, old, new) -> of Thing and of Thing.work, after that edit of the package."""

    def make(file: str = "main.py", old: str = "", new: str = "") -> list[str]:
        folder = tmp_path / "mine"
        folder.mkdir(exist_ok=True)
        for name, text in FILES.items():
            assert name != file or old in text
            (folder / name).write_text(text.replace(old, new, 1) if name == file and old else text)
        words = [sys.executable, "-B", "-c", COMMAND, str(tmp_path)]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()

    return make


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("main.py", "A thing.", "Another text."),
        ("main.py", "# done", "# not yet"),
        ("main.py", "h(x) + alias.used() + LIMIT", "(h(x)\n            + alias.used() + LIMIT)"),
        ("main.py", "x: Shape", "x: int"),
        ("main.py", "UNUSED = 4", "UNUSED = 5"),
        ("main.py", "return UNUSED", "return -UNUSED"),
        ("other.py", "return 2", "return 3"),
        ("deep.py", "def outer(x):\n    return x", "def outer(x):\n    return -x"),
        ("types.py", "sides = 3", "sides = 4"),
    ],
)
def test_what_is_not_executed_or_not_reached_does_not_count(digests, file, old, new):
    assert digests(file, old, new) == digests()


@pytest.mark.parametrize(
    ("file", "old", "new", "in_work"),
    [
        ("main.py", "LIMIT = 3", "LIMIT = 4", True),
        ("main.py", "return late()", "return -late()", False),
        ("room.py", "size = 1", "size = 2", False),
        ("room.py", "deep.inner(x)", "-deep.inner(x)", True),
        ("other.py", "return 1", "return 0", True),
        ("other.py", "append(1)", "append(2)", True),
        ("deep.py", "return x", "return -x", True),
        ("far.py", "return 1", "return 2", False),
    ],
)
def test_an_edit_of_what_is_reached_counts_wherever_it_is(digests, file, old, new, in_work):
    (thing, work), (other, same) = digests(), digests(file, old, new)
    assert thing != other and (work != same) is in_work


def test_names_of_modules_count(digests):
    assert len(set(digests())) == 2


def test_what_has_no_source_counts_by_its_name():
    typed = {name: type(name, (), {"__module__": "typed"}) for name in ("First", "Second")}
    assert source_digest(typed["First"]) != source_digest(typed["Second"])
    assert source_digest(typed["First"]) == source_digest(type("First", (), {"__module__": "typed"}))
