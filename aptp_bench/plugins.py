"""The contracts of plugins, in one place to import from: what a method, metric, dataset, model and backbone promise.

A plugin is one class in one file and one line of entry points. Facts about it are data on the class, so that
tables are made from them and nothing elsewhere asks for a name.
"""

from __future__ import annotations

from aptp_bench.contracts.backbone import BackbonePlugin
from aptp_bench.contracts.base import Plugin, PluginConfig
from aptp_bench.contracts.dataset import DatasetPlugin
from aptp_bench.contracts.evidence import Evidence
from aptp_bench.contracts.method import Forecast, Job, Method, Phase, Sketch
from aptp_bench.contracts.metric import Metric
from aptp_bench.contracts.model import ModelPlugin
from aptp_bench.core.progress import Progress
from aptp_bench.records import Measurement

__all__ = [
    "BackbonePlugin", "DatasetPlugin", "Evidence", "Forecast", "Job", "Measurement", "Method", "Metric", "ModelPlugin",
    "Phase", "Plugin", "PluginConfig", "Progress", "Sketch",
]  # fmt: skip
