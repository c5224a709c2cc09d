"""Plugins that were released with older names of modules still import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import aptp_bench
from aptp_bench.core.moved import MOVED

# what the first release's example imported
WANTED = """
import importlib, sys, warnings
warnings.filterwarnings("default", category=DeprecationWarning)
from aptp_bench.evaluate import Evidence
from aptp_bench.models.cost import Cost
from aptp_bench.models.gates import GateSpace
from aptp_bench.models.landing import land
from aptp_bench.models.macs import example_inputs
from aptp_bench.models.surgery import cut
import aptp_bench
for found in (Evidence, Cost, GateSpace, land, example_inputs, cut):
    assert getattr(aptp_bench, found.__name__) is found, found
for old, new in eval(sys.argv[1]).items():
    assert importlib.import_module(old) is importlib.import_module(new), old
    assert importlib.import_module(new).__spec__.name == new
try:
    import aptp_bench.nowhere
except ModuleNotFoundError:
    pass
"""


def test_older_names_are_todays_modules_and_say_so() -> None:
    words = [sys.executable, "-c", WANTED, repr(MOVED)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    for old, new in MOVED.items():
        assert f"DeprecationWarning: {old} is {new} now" in done.stderr


@pytest.mark.parametrize("name", MOVED)
def test_an_older_name_has_no_file_of_its_own(name: str) -> None:
    place = Path(aptp_bench.__file__).parents[1].joinpath(*name.split("."))
    assert not place.with_suffix(".py").exists() and not place.is_dir()
