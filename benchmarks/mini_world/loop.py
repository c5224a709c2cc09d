"""The builders' training loop: AdamW, warm-up, constant rate, linear cool-down, an averaged copy, and checkpoints that survive a kill.

On a GPU a step is one CUDA graph: such small networks compute faster than their thousands of kernels can be issued.

The warm-up/stable/decay schedule (Hu et al. 2024, arXiv:2404.06395) is chosen because a longer training may start from any earlier
checkpoint: only the cool-down depends on where the training ends.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from aptp_bench.core.files import write_whole
from aptp_bench.core.provenance import device_name

Parts = dict[str, Tensor]
Draw = Callable[[torch.Generator], Parts]
Loss = Callable[[Parts], Parts]


@dataclass(frozen=True)
class Recipe:
    """How one model is trained; written beside its weights."""

    steps: int
    batch: int
    lr: float
    warmup: int = 200
    cooldown: float = 0.2  # share of the steps over which the rate falls to zero
    weight_decay: float = 0.01
    ema: float = 0.999  # decay of the averaged copy, which is what ships
    save_every: int = 500
    seed: int = 0

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        start = self.steps * (1 - self.cooldown)
        falling = (self.steps - step) / max(1.0, self.steps - start)
        return self.lr * min(1.0, (step + 1) / self.warmup, max(0.0, falling))


def fit(
    module: nn.Module,
    draw: Draw,
    loss: Loss,
    recipe: Recipe,
    folder: Path,
    watch: Callable[[int], dict] | None = None,
    until: int | None = None,
) -> nn.Module:
    """Train in place and return the module holding the averaged weights. Goes on from `folder`'s checkpoint if there is one.

    until: the step to stop before, all of the recipe's if None; a later call goes on.

    draw(generator): what a step is made of, on the module's device; the generator is there too and is seeded by (seed, step), so that
    a resumed training equals an unbroken one. loss(drawn): a dict with key "loss"; on a GPU it waits for nothing and all shapes stay.
    watch(step): figures to log, called at every checkpoint with the averaged weights in place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trained = [each for each in module.parameters() if each.requires_grad]
    device = trained[0].device
    on_gpu = device.type == "cuda"
    optimiser = torch.optim.AdamW(
        trained,
        lr=torch.zeros((), device=device) if on_gpu else 0.0,
        weight_decay=recipe.weight_decay,
        betas=(0.9, 0.99),
        capturable=on_gpu,
    )
    average = {name: value.detach().clone() for name, value in module.state_dict().items()}
    first = _restore(folder / "state.safetensors", module, optimiser, average)
    last = recipe.steps if until is None else min(until, recipe.steps)
    module.train()
    drawn: Parts = {}

    def advance() -> Parts:
        parts = loss(drawn)
        optimiser.zero_grad()
        parts["loss"].backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        return {name: each.detach() for name, each in parts.items()}

    started, generator, run = time.time(), torch.Generator(device), advance
    for step in range(first, last):
        generator.manual_seed(recipe.seed * 1_000_003 + step)
        fresh = draw(generator)
        if not on_gpu:
            drawn = fresh
        elif step == first:
            drawn = fresh
            run = _captured(advance, module, optimiser)
        else:
            for name, each in drawn.items():
                each.copy_(fresh[name])
        _set_rate(optimiser, recipe.rate(step))
        parts = run()
        _blend(average, module, min(recipe.ema, (step + 1) / (step + 10)))
        if (step + 1) % recipe.save_every == 0 or step + 1 == last:
            _keep(folder / "state.safetensors", module, optimiser, average, step + 1)
            speed = (step + 1 - first) * recipe.batch / (time.time() - started)
            line: dict[str, Any] = {"step": step + 1, "per_s": round(speed, 1)} | {
                k: round(float(v), 4) for k, v in parts.items()
            }
            line["device"] = device_name(device)
            _log(folder, line | (_with(module, average, watch, step + 1) if watch else {}))
    module.load_state_dict(average)
    return module.eval()


def averaged(module: nn.Module, folder: Path) -> nn.Module:
    """The averaged weights of the last checkpoint, in eval mode."""
    state = load_file(folder / "state.safetensors")
    module.load_state_dict({k[4:]: v for k, v in state.items() if k.startswith("ema.")})
    return module.eval()


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)  # in place: a graph reads it there
        else:
            group["lr"] = rate


def _captured(advance: Callable[[], Parts], module: nn.Module, optimiser: torch.optim.Optimizer) -> Callable[[], Parts]:
    """`advance` as a CUDA graph. What trying it out did to weights and moments is undone, in place."""
    weights, moments = copy.deepcopy(module.state_dict()), copy.deepcopy(optimiser.state_dict()["state"])
    _set_rate(optimiser, 0.0)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            advance()
    torch.cuda.current_stream().wait_stream(stream)
    module.load_state_dict(weights)
    for index, state in optimiser.state_dict()["state"].items():
        for name, value in state.items():
            value.copy_(moments[index][name]) if index in moments else value.zero_()
    optimiser.zero_grad()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        parts = advance()

    def replay() -> Parts:
        graph.replay()
        return parts

    return replay


@torch.no_grad()
def _blend(average: dict[str, Tensor], module: nn.Module, decay: float) -> None:
    names = [n for n, v in module.state_dict().items() if v.is_floating_point()]
    state = module.state_dict()
    torch._foreach_lerp_([average[n] for n in names], [state[n] for n in names], 1 - decay)
    for name in state.keys() - set(names):
        average[name].copy_(state[name])


def _with(module: nn.Module, average: dict[str, Tensor], watch: Callable[[int], dict], step: int) -> dict:
    own = {name: value.detach().clone() for name, value in module.state_dict().items()}
    module.load_state_dict(average)
    module.eval()
    try:
        with torch.no_grad():
            return watch(step)
    finally:
        module.load_state_dict(own)
        module.train()


def _keep(
    file: Path, module: nn.Module, optimiser: torch.optim.Optimizer, average: dict[str, Tensor], step: int
) -> None:
    tensors = {f"own.{k}": v for k, v in module.state_dict().items()} | {f"ema.{k}": v for k, v in average.items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"opt.{index}.{k}": torch.as_tensor(v) for k, v in moments.items()}
    tensors = {k: v.detach().clone().contiguous() for k, v in tensors.items()}
    write_whole(file, lambda aside: save_file(tensors, aside, metadata={"step": str(step)}))


def _restore(file: Path, module: nn.Module, optimiser: torch.optim.Optimizer, average: dict[str, Tensor]) -> int:
    if not file.exists():
        return 0
    with safe_open(file, "pt") as opened:
        step = int(opened.metadata()["step"])
    state = load_file(file)
    module.load_state_dict({k[4:]: v for k, v in state.items() if k.startswith("own.")})
    average.update({k[4:]: v.to(average[k[4:]]) for k, v in state.items() if k.startswith("ema.")})
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in state.items():
        if key.startswith("opt."):
            _, index, name = key.split(".")
            moments.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    return step


def _log(folder: Path, line: dict) -> None:
    with (folder / "log.jsonl").open("a", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")
