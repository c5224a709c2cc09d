"""Modules that released plugins import by an older name: the old name still works, with a DeprecationWarning."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "aptp_bench.evaluate": "aptp_bench.contracts.evidence",
    "aptp_bench.models.cost": "aptp_bench.pruning.cost",
    "aptp_bench.models.gates": "aptp_bench.pruning.gates",
    "aptp_bench.models.landing": "aptp_bench.pruning.threshold",
    "aptp_bench.models.macs": "aptp_bench.pruning.macs",
    "aptp_bench.models.surgery": "aptp_bench.pruning.surgery",
}


class Moved(MetaPathFinder, Loader):
    """Finds the modules of MOVED, and gives them the module that they are now."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The specification of an older name, None for every other one."""
        return ModuleSpec(name, self) if name in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of today in the place of the empty one."""
        old = module.__name__
        words = f"{old} is {MOVED[old]} now; import what plugins need from aptp_bench itself"
        warnings.warn(words, DeprecationWarning, stacklevel=2)
        sys.modules[old] = importlib.import_module(MOVED[old])


def install() -> None:
    """Let the older names be imported. They are asked for last, after every file."""
    if not any(isinstance(finder, Moved) for finder in sys.meta_path):
        sys.meta_path.append(Moved())
