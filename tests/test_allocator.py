from __future__ import annotations

import subprocess
import sys

import pytest

from aptp_bench import allocator

FAULTS = """
import resource, sys, torch
from aptp_bench.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()

def step():
    kept = [torch.ones(1 << 20) for _ in range(40)]  # 4 MiB each

step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_a_second_step_faults_on_nothing_that_the_first_had() -> None:
    faults = {}
    for word in ("keep", "default"):
        done = subprocess.run(
            [sys.executable, "-c", FAULTS, word], capture_output=True, text=True, check=True, timeout=120
        )
        faults[word] = int(done.stdout)
    assert 5 * faults["keep"] < faults["default"]


def test_another_c_library_is_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(allocator.sys, "platform", "win32")
    assert not allocator.keep_freed_memory()
    monkeypatch.setattr(allocator.sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: object())
    assert not allocator.keep_freed_memory()
