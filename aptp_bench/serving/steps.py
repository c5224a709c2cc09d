"""What diffusers' pipelines do around a step and around a model: callbacks, noise that a scheduler draws at its steps, and
models that are on the device only while they work.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from accelerate import cpu_offload_with_hook

from aptp_bench.errors import ConfigError
from aptp_bench.generation.sampling import Sampler

TENSORS = ["latents", "prompt_embeds", "negative_prompt_embeds"]  # that callbacks may have
Callback = Callable[..., dict[str, Any]]


def watched(pipeline: Any, callback: Callback | None, tensors: Sequence[str]) -> dict[str, Any]:
    """What the pipeline of a batch is told of a callback of `pipeline`: an interrupt of one batch is one of all.

    Raises ConfigError for a tensor that no callback can have.
    """
    pipeline._interrupt = False
    if callback is None:
        return {}
    if not callable(callback):
        raise ConfigError(f"callback_on_step_end is {callback!r}; give a function")
    named = list(getattr(callback, "tensor_inputs", tensors))  # diffusers' own callbacks say which
    if unknown := [name for name in named if name not in TENSORS]:
        raise ConfigError(f"a callback cannot have the tensor '{unknown[0]}'; take some of {', '.join(TENSORS)}")

    def on_step_end(batch: Any, step: int, timestep: Any, given: dict[str, Any]) -> dict[str, Any]:
        batch._interrupt = pipeline._interrupt
        changed = callback(batch, step, timestep, given)
        pipeline._interrupt = batch._interrupt
        if not isinstance(changed, dict):
            what = f"callback_on_step_end gave back a {type(changed).__name__}"
            raise ConfigError(f"{what}; return the dictionary that it is given, changed or not")
        return changed

    return {"callback_on_step_end": on_step_end, "callback_on_step_end_tensor_inputs": named}


@dataclass(frozen=True)
class OwnDraws(Sampler):
    """A sampler whose scheduler, if it draws noise at its steps as ancestral ones do, draws it for each image of its own.

    Left alone it draws from torch's global generator: images would change with their batch and with what was drawn before.
    draws: a generator for the batch, or one for each image of it.
    """

    draws: Any = None

    def _scheduler(self) -> Any:
        scheduler = super()._scheduler()
        step = scheduler.step
        if self.draws is not None and "generator" in inspect.signature(step).parameters:

            def drawn(*given: Any, **named: Any) -> Any:
                return step(*given, **{**named, "generator": self.draws})

            scheduler.step = drawn
        return scheduler


def offloaded(pipeline: Any) -> bool:
    """Whether enable_model_cpu_offload was called."""
    return bool(getattr(pipeline, "_all_hooks", ()))


@contextmanager
def on_device(pipeline: Any, unet: Any) -> Iterator[None]:
    """Where models are offloaded, `unet` goes to the device when it is called and back at the end; elsewhere nothing happens."""
    if not offloaded(pipeline):
        yield
        return
    before, after = pipeline._all_hooks[0], pipeline._all_hooks[-1]
    _, hook = cpu_offload_with_hook(unet, pipeline._offload_device, prev_module_hook=before)
    after.hook.prev_module_hook = hook  # the autoencoder sends it back before it decodes, as in diffusers
    try:
        yield
    finally:
        hook.offload()
        hook.remove()
