"""aptp-bench: one harness to prune, fine-tune, sample and measure text-to-image diffusion models.

To use it: `run` a method, `prune` a network of your own, `save`, `load` and `push_to_hub` what comes out, `profile` a
network, `load_records`, serve a mixture with `RoutedPipeline`. To extend it: the contracts `Method`, `Metric`,
`DatasetPlugin`, `ModelPlugin`, `BackbonePlugin`, and what they are given and give back. To write a method: `GateSpace`,
`Cost`, `land`, `cut`, `example_inputs`. Everything else may change between releases.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aptp_bench.core import moved, threads

if TYPE_CHECKING:
    from aptp_bench.contracts.backbone import BackbonePlugin
    from aptp_bench.contracts.base import PluginConfig
    from aptp_bench.contracts.dataset import DatasetPlugin
    from aptp_bench.contracts.evidence import Evidence
    from aptp_bench.contracts.method import Job, Method
    from aptp_bench.contracts.metric import Metric
    from aptp_bench.contracts.model import ModelPlugin
    from aptp_bench.harness.prune import prune
    from aptp_bench.harness.session import run
    from aptp_bench.models.call_plan import CallPlan
    from aptp_bench.models.mixture import Mixture
    from aptp_bench.models.storage import load, save
    from aptp_bench.profiling.request import profile
    from aptp_bench.pruning.cost import Cost
    from aptp_bench.pruning.gates import GateSpace
    from aptp_bench.pruning.macs import example_inputs
    from aptp_bench.pruning.surgery import cut
    from aptp_bench.pruning.threshold import land
    from aptp_bench.records import Measurement
    from aptp_bench.reporting.ranking.frame import load_records
    from aptp_bench.serving.hub import push_to_hub
    from aptp_bench.serving.pipeline import RoutedPipeline

__version__ = "0.1.0"
__all__ = [
    "BackbonePlugin", "CallPlan", "Cost", "DatasetPlugin", "Evidence", "GateSpace", "Job", "Measurement", "Method",
    "Metric", "Mixture", "ModelPlugin", "PluginConfig", "RoutedPipeline", "__version__", "cut", "example_inputs", "land",
    "load", "load_records", "profile", "prune", "push_to_hub", "run", "save",
]  # fmt: skip

# where each name is from: imported when it is first asked for, because the command line must answer without torch
_HOMES = {
    "BackbonePlugin": "contracts.backbone", "CallPlan": "models.call_plan", "Cost": "pruning.cost",
    "DatasetPlugin": "contracts.dataset",
    "Evidence": "contracts.evidence", "GateSpace": "pruning.gates", "Job": "contracts.method",
    "Measurement": "records", "Method": "contracts.method", "Metric": "contracts.metric", "Mixture": "models.mixture",
    "ModelPlugin": "contracts.model", "PluginConfig": "contracts.base", "RoutedPipeline": "serving.pipeline",
    "cut": "pruning.surgery", "example_inputs": "pruning.macs", "land": "pruning.threshold",
    "load": "models.storage", "load_records": "reporting.ranking.frame", "profile": "profiling.request",
    "prune": "harness.prune", "push_to_hub": "serving.hub", "run": "harness.session", "save": "models.storage",
}  # fmt: skip

threads.spin_briefly()
moved.install()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
