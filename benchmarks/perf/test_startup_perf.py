"""What asking for help costs, against starting Python with the two libraries that draw the help, in the same run.

Run: pytest benchmarks/perf/test_startup_perf.py
"""

from __future__ import annotations

import resource
import subprocess
import sys

ROUNDS = 9
BAR = 3.0  # of the rival's processor time
HELP = "import sys; sys.argv = ['aptp-bench', '--help']; from aptp_bench.cli import main; main()"
RIVAL = "import typer, typer.rich_utils"


def seconds(code: str) -> float:
    """Processor time of a Python that runs this code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_against_importing_typer_and_rich(benchmark):
    ours, theirs = [], []

    def both() -> None:
        ours.append(seconds(HELP))
        theirs.append(seconds(RIVAL))

    benchmark.pedantic(both, rounds=ROUNDS, warmup_rounds=1)
    benchmark.extra_info |= {"help_s": min(ours), "rival_s": min(theirs), "ratio": min(ours) / min(theirs)}
    assert min(ours) <= BAR * min(theirs)
