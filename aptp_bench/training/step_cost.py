"""What one training step executes and holds, counted on the meta device from the geometry alone: no weights, no kernels.

A step is run on two samples and on three. It makes the same calls both times, so whatever differs goes with the samples,
and what lives after a call is a straight line in their number. The peak of any number is the highest of these lines.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import accumulate
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from aptp_bench.core.costs import Line, Operation, StepCost, highest
from aptp_bench.models.operations import Recorder, record
from aptp_bench.pruning.gates import Gated, GateSpace
from aptp_bench.pruning.macs import TEXT, example_inputs
from aptp_bench.pruning.surgery import meta_clone
from aptp_bench.training import diffusion
from aptp_bench.training.diffusion import Noised
from aptp_bench.training.fit import layers

ROWS = (2, 3)  # with one, a shape that broadcasts looks like one that does not

Learns = Literal["weights", "gates"]


def step_cost(
    student: Any, teacher: Any | None, learns: Learns, latent: int, tokens: int, checkpointing: bool = False
) -> StepCost:
    """Of distilling `student` from `teacher`, or of its denoising loss alone. Both may be anywhere and are left alone.

    learns: the student's weights; or gates on it, a row a sample, while its weights are frozen, and its teacher is the
    same network with open gates. latent: height = width; tokens: length of the text.
    """
    twin: Any = meta_clone(student).eval().requires_grad_(learns == "weights")
    other = None if teacher is None else meta_clone(teacher).eval().requires_grad_(False)
    step = partial(STEPS[learns], twin, other)
    batches = (sketched(twin, rows, latent, tokens) for rows in ROWS)
    (few, before), (more, _) = (_counted(partial(step, batch), (twin, other), checkpointing) for batch in batches)
    lines = [_line(a, b) for a, b in zip(few.moments, more.moments, strict=True)]
    graded = accumulate(before.get(call, 0) for call in range(len(lines)))
    return StepCost(
        operations=tuple(_operation(a, b) for a, b in zip(few.operations, more.operations, strict=True)),
        trained=sum(p.numel() for p in twin.parameters() if p.requires_grad),
        cast=sum(p.numel() for p in twin.parameters()),
        widest=max((sum(p.numel() for p in layer.parameters()) for layer in layers(twin)), default=0),
        first=highest(lines),
        later=highest((fixed - there, each) for (fixed, each), there in zip(lines, graded, strict=True)),
    )


def sketched(unet: Any, rows: int, latent: int, tokens: int) -> Noised:
    """A noised batch on the meta device: shapes without numbers."""
    nothing = torch.empty(1, 1, 1, device="meta")
    given = {TEXT: nothing, **example_inputs(unet, latent, tokens)}
    x, t, text = (given[name].repeat_interleave(rows, 0) for name in ("sample", "timestep", TEXT))
    return Noised(x, t, text, torch.empty_like(x), torch.empty(rows, device="meta"))


def _counted(
    step: Callable[[], None], networks: tuple[Any, nn.Module | None], checkpointing: bool
) -> tuple[Recorder, dict[int, int]]:
    """A step forward and backward, and the numbers of gradients by the call before which they had come."""
    come: dict[int, int] = {}
    student = networks[0]

    def run(recorder: Recorder) -> None:
        def note(p: Tensor) -> None:
            at = len(recorder.moments)
            come[at] = come.get(at, 0) + p.numel()

        hooks = [p.register_post_accumulate_grad_hook(note) for p in student.parameters() if p.requires_grad]
        if checkpointing:
            again = partial(checkpoint, use_reentrant=False, context_fn=lambda: (nullcontext(), recorder.attention))
            student.enable_gradient_checkpointing(again)
        step()
        for hook in hooks:
            hook.remove()

    recorder = record(run, [network for network in networks if network is not None])
    student.zero_grad(set_to_none=True)
    return recorder, come


def _weights(student: nn.Module, teacher: nn.Module | None, noised: Noised) -> None:
    """As fine-tuning does it; without a teacher on the denoising loss alone."""
    taught, ends = None, tuple[int, ...]()
    if teacher is not None:
        ends = diffusion.early_ends(student, teacher)
        with torch.no_grad():
            taught = diffusion.observe(teacher, noised, ends=ends)
    _learn(diffusion.compared(diffusion.observe(student, noised, ends=ends), taught, noised))


def _gates(student: Any, teacher: nn.Module | None, noised: Noised) -> None:
    """The network's part of a search for gates."""
    space = GateSpace.of(student)
    gates = torch.empty(len(noised.x), space.size, device="meta", requires_grad=True)
    with Gated(student, space) as gated:
        taught = None
        if teacher is not None:
            with torch.no_grad():
                taught = diffusion.observe(student, noised)
        gated.set(gates)
        _learn(diffusion.compared(diffusion.observe(student, noised), taught, noised))


STEPS: dict[Learns, Callable[..., None]] = {"weights": _weights, "gates": _gates}


def _learn(terms: dict[str, Tensor]) -> None:
    torch.stack([term.mean() for term in terms.values()]).sum().backward()


def _line(few: int, more: int) -> Line:
    """The straight line through what was counted for ROWS."""
    each = (more - few) // (ROWS[1] - ROWS[0])
    return few - ROWS[0] * each, each


def _operation(few: Operation, more: Operation) -> Operation:
    """What is read or written once a call, and what every sample adds."""
    fixed, each = _line(few.weights + few.activations, more.weights + more.activations)
    macs = (more.macs - few.macs) // (ROWS[1] - ROWS[0])
    return Operation(few.name, few.kind, macs, fixed, each)
