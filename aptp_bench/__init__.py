"""aptp-bench: one harness to prune, fine-tune, sample and measure text-to-image diffusion models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aptp_bench.pipeline import RoutedPipeline

__version__ = "0.1.0"
__all__ = ["RoutedPipeline", "__version__"]


def __getattr__(name: str) -> Any:
    """RoutedPipeline, imported when it is first asked for: the command line must answer without torch."""
    if name == "RoutedPipeline":
        from aptp_bench.pipeline import RoutedPipeline

        return RoutedPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
