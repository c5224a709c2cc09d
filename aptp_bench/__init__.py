"""aptp-bench: one harness to prune, fine-tune, sample and measure text-to-image diffusion models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aptp_bench.reporting.ranking.frame import load_records
    from aptp_bench.serving.pipeline import RoutedPipeline

__version__ = "0.1.0"
__all__ = ["RoutedPipeline", "__version__", "load_records"]


def __getattr__(name: str) -> Any:
    """RoutedPipeline and load_records, imported when first asked for: the command line must answer without torch."""
    if name == "RoutedPipeline":
        from aptp_bench.serving.pipeline import RoutedPipeline

        return RoutedPipeline
    if name == "load_records":
        from aptp_bench.reporting.ranking.frame import load_records

        return load_records
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
