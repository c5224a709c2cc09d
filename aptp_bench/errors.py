"""The errors a user can meet. Each is one line that says what was asked, what came, and what would do.

The CLI prints them without a traceback and exits with 2; anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager


class AptpBenchError(Exception):
    """Something the user can fix; the message is one line and ends with the fix."""


class UnknownNameError(AptpBenchError):
    """A method, metric, dataset or model that nothing provides."""


class ConfigError(AptpBenchError):
    """A setting that does not exist or does not fit."""


class BudgetError(AptpBenchError):
    """A budget that is out of range or that a method cannot meet."""


class DataError(AptpBenchError):
    """Images or captions that are missing, broken, or do not belong together."""


class WeightsError(AptpBenchError):
    """Weights that are missing, corrupt, or of another network."""


class CheckpointError(WeightsError):
    """A saved network, mixture or training state that cannot be read."""


class PruningError(AptpBenchError):
    """Surgery that would leave a network that cannot run, or that matched nothing."""


class CountError(AptpBenchError):
    """An operation whose cost is not known: refused, because a smaller number would be a lie."""


class MetricError(AptpBenchError):
    """Evidence from which a metric cannot be computed."""


class StoreError(AptpBenchError):
    """A runs or results folder that cannot be written, or a stage whose files changed."""


class TrainingError(AptpBenchError):
    """A training that diverged."""


class SuiteError(AptpBenchError):
    """Runs of a suite that failed; the others are done and recorded."""


class FigureError(AptpBenchError):
    """A figure that a run has no data for."""


def in_python(text: str) -> str:
    """A line that speaks of flags of a command, as it speaks of arguments: "use --budget 1" is "use budget=1"."""
    text = re.sub(r"--set (?=[\w.]+=)", "", text)
    text = re.sub(r"--set\b", "settings", text)
    return re.sub(
        r"--([a-z][a-z-]*)( (?=\d))?", lambda flag: flag[1].replace("-", "_") + ("=" if flag[2] else ""), text
    )


@contextmanager
def spoken_in_python() -> Iterator[None]:
    """Whatever error of ours comes from within names arguments where it would name a command's flags."""
    try:
        yield
    except AptpBenchError as err:
        err.args = (in_python(str(err)), *err.args[1:])
        raise
