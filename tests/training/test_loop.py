from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from aptp_bench.core.noise import generator
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.settings import TrainConfig
from aptp_bench.errors import CheckpointError, TrainingError
from aptp_bench.training.loop import Part, frozen, train

CONFIG = TrainConfig(steps=7, batch=12, lr=0.05, warmup=3, weight_decay=0.1, clip=1.0, checkpoint_every=3)


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))


def regression(module: nn.Module, stop_at: int | None = None) -> Any:
    def loss(step: int, generator: torch.Generator, part: Part) -> dict[str, Tensor]:
        if step == stop_at:
            raise KeyboardInterrupt
        x = torch.randn(12, 4, generator=generator)[part.rows(12)]
        error = (module(x) - x.sum(1, keepdim=True)).square().mean()
        return {"loss": error, "shape": torch.tensor([1.0, float(step)]), "rows": torch.tensor(float(len(x)))}

    return loss


def fit(
    folder: Path, config: TrainConfig = CONFIG, seed: int = 1, stop_at: int | None = None
) -> tuple[nn.Module, list]:
    module = network()
    loss = regression(module, stop_at)
    return module, train(module, loss, config, seed=seed, folder=folder, progress=SilentProgress(), label="fit")


def fit_apart(folder: Path, stop_at: int | None = None) -> tuple[nn.Module, list]:
    """Rows 0-5 touch the first layer, rows 6-11 the second, none the third; at step 2 no row touches any."""
    torch.manual_seed(3)
    module = nn.ModuleList(nn.Linear(4, 1) for _ in range(3))

    def loss(step: int, generator: torch.Generator, part: Part) -> dict[str, Tensor]:
        if step == stop_at:
            raise KeyboardInterrupt
        x = torch.randn(12, 4, generator=generator)
        if step == 2:
            return {"loss": x.mean()}
        rows = range(12)[part.rows(12)]
        made = torch.cat([module[row // 6](x[row]) for row in rows])
        return {"loss": (made - x[rows.start : rows.stop].sum(1)).square().mean()}

    config = CONFIG.model_copy(update={"accumulate": 2, "batch": 12})
    return module, train(module, loss, config, seed=1, folder=folder, progress=SilentProgress(), label="fit")


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("stop_at", [1, 4, 6])
def test_a_resumed_training_equals_an_unbroken_one_bit_for_bit(tmp_path: Path, stop_at: int) -> None:
    unbroken, history = fit(tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "broken", stop_at=stop_at)
    with (tmp_path / "broken" / "history.jsonl").open("a") as file:
        file.write('{"step": 99}\n')  # what a kill between the two files of a checkpoint leaves
    resumed, again = fit(tmp_path / "broken")
    assert same(unbroken, resumed)
    assert history == again


def test_a_finished_training_is_read_and_not_redone(tmp_path: Path) -> None:
    first, history = fit(tmp_path)
    second, again = fit(tmp_path, stop_at=0)
    assert same(first, second)
    assert again == history and [row["step"] for row in history] == list(range(7))
    assert [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()] == history


@pytest.mark.parametrize(("stop_at", "goes_on"), [(2, 0), (3, 3), (5, 3), (6, 6)])
def test_a_killed_training_goes_on_from_its_last_checkpoint(tmp_path: Path, stop_at: int, goes_on: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, stop_at=stop_at)
    state = tmp_path / "state.safetensors"
    assert not goes_on or any(name.startswith("exp_avg") for name in load_file(state))
    module, steps = network(), []

    def loss(step: int, generator: torch.Generator, part: Part) -> dict[str, Tensor]:
        steps.append(step)
        return regression(module)(step, generator, part)

    train(module, loss, CONFIG, seed=1, folder=tmp_path, progress=SilentProgress(), label="fit")
    assert steps == list(range(goes_on, 7))
    assert {name.split(".")[0] for name in load_file(state)} == {"param"}  # a finished one needs no moments


def test_the_seed_decides_what_is_drawn(tmp_path: Path) -> None:
    assert not same(fit(tmp_path / "one", seed=1)[0], fit(tmp_path / "two", seed=2)[0])


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_parts_amount_to_the_whole_batch(tmp_path: Path, parts: int) -> None:
    whole, one = fit(tmp_path / "whole")
    split, many = fit(tmp_path / "split", CONFIG.model_copy(update={"accumulate": parts}))
    for p, q in zip(whole.parameters(), split.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)
    assert many[-1]["loss"] == pytest.approx(one[-1]["loss"], rel=1e-4)
    assert many[-1]["shape"] == one[-1]["shape"]


@pytest.mark.parametrize("parts", [1, 4])
def test_the_gradient_is_the_mean_over_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    taken: list[Tensor] = []
    keep = lambda self: taken.append(self.param_groups[0]["params"][0].grad.clone())  # noqa: E731
    monkeypatch.setattr(torch.optim.AdamW, "step", keep)
    fit(tmp_path, CONFIG.model_copy(update={"steps": 1, "accumulate": parts, "clip": None}))
    module = network()
    regression(module)(0, generator("step", 1, 0), Part())["loss"].backward()
    torch.testing.assert_close(taken[0], module[0].weight.grad)


def test_every_step_draws_anew(tmp_path: Path) -> None:
    module, drawn = network(), []

    def loss(step: int, generator: torch.Generator, part: Part) -> dict[str, Tensor]:
        drawn.append(float(torch.rand(1, generator=generator)))
        return {"loss": module(torch.ones(1, 4)).square().sum()}

    train(module, loss, CONFIG, seed=0, folder=tmp_path, progress=SilentProgress(), label="fit")
    assert len(set(drawn)) == CONFIG.steps


@pytest.mark.parametrize("of", [1, 3, 5])
def test_parts_tile_a_batch(of: int) -> None:
    rows = [row for i in range(of) for row in range(12)[Part(i, of).rows(12)]]
    assert rows == list(range(12))


def test_the_loss_falls(tmp_path: Path) -> None:
    _, history = fit(tmp_path, TrainConfig(steps=60, batch=12, lr=0.05))
    assert history[-1]["loss"] < 0.2 * history[0]["loss"]


def test_the_rate_rises_linearly_and_stays() -> None:
    config = TrainConfig(steps=9, batch=1, lr=0.4, warmup=4)
    assert [config.lr_at(step) for step in range(6)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])
    assert TrainConfig(steps=1, batch=1, lr=0.4).lr_at(0) == 0.4


def test_the_optimiser_takes_the_rate_of_each_step_and_the_weight_decay(tmp_path: Path) -> None:
    """Without gradients AdamW does nothing but decay: every step takes its rate times the weight decay."""
    module, before = network(), network()

    def loss(step: int, generator: torch.Generator, part: Part) -> dict[str, Tensor]:
        return {"loss": 0.0 * module(torch.ones(1, 4)).sum()}

    config = TrainConfig(steps=3, batch=1, lr=0.4, warmup=2, weight_decay=0.5)
    train(module, loss, config, seed=0, folder=tmp_path, progress=SilentProgress(), label="fit")
    left = (1 - 0.2 * 0.5) * (1 - 0.4 * 0.5) ** 2
    for p, q in zip(module.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(p, left * q)


def test_a_training_that_diverges_says_so_and_how_to_mend_it(tmp_path: Path) -> None:
    module = network()

    def loss(step: int, generator: torch.Generator, part: Part) -> dict[str, Tensor]:
        return {"loss": module(torch.ones(1, 4)).sum() * (float("inf") if step == 2 else 1.0)}

    with pytest.raises(TrainingError, match=r"fit diverged at step 2 .*lower its learning rate, now 0.05"):
        train(module, loss, CONFIG, seed=0, folder=tmp_path, progress=SilentProgress(), label="fit")


def test_a_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    fit(tmp_path)
    with pytest.raises(CheckpointError, match="holds another training"):
        fit(tmp_path, CONFIG.model_copy(update={"lr": 0.01}))
    with pytest.raises(CheckpointError, match="holds another training"):
        fit(tmp_path, seed=9)
    fit(tmp_path, CONFIG.model_copy(update={"accumulate": 2, "checkpoint_every": 1}))  # how, not what, is computed


def test_a_broken_state_is_refused(tmp_path: Path) -> None:
    fit(tmp_path)
    (tmp_path / "history.jsonl").unlink()
    with pytest.raises(CheckpointError, match="delete it and run again"):
        fit(tmp_path)
    (tmp_path / "state.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(CheckpointError, match="delete it and run again"):
        fit(tmp_path)


def test_only_parameters_that_require_gradients_change(tmp_path: Path) -> None:
    module, before = network(), network()
    module[0].requires_grad_(False)
    train(module, regression(module), CONFIG, seed=0, folder=tmp_path, progress=SilentProgress(), label="fit")
    assert torch.equal(module[0].weight, before[0].weight)
    assert not torch.equal(module[2].weight, before[2].weight)


def test_clipping_bounds_the_gradient_and_not_the_reported_loss(tmp_path: Path) -> None:
    tight = CONFIG.model_copy(update={"clip": 1e-9, "weight_decay": 0.0})
    loose = CONFIG.model_copy(update={"clip": None, "weight_decay": 0.0})
    held, moved = fit(tmp_path / "tight", tight)[0], fit(tmp_path / "loose", loose)[0]
    start = network()
    assert _distance(held, start) < 0.2 * _distance(moved, start)  # AdamW's eps takes over where gradients vanish


def test_frozen_puts_everything_back_even_after_an_error() -> None:
    module = network().train()
    module[0].requires_grad_(False)
    module[1].eval()
    with pytest.raises(RuntimeError, match="inside"), frozen(module):
        assert not any(p.requires_grad for p in module.parameters()) and not module.training
        raise RuntimeError("inside")
    assert [p.requires_grad for p in module.parameters()] == [False, False, True, True]
    assert [m.training for m in module] == [True, False, True] and module.training


TWO = """
import os, socket, sys
sys.path.insert(0, sys.argv[1])
import accelerate, test_loop
from pathlib import Path
from safetensors.torch import save_file
from aptp_bench.core.distributed import Ranks, leave

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = str(free.getsockname()[1])
rank = 1 - bool(child := os.fork())
os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
module, rows = test_loop.fit(Path(sys.argv[2]) / "shared")
assert Ranks.here() == Ranks(rank, 2) and {row["rows"] for row in rows} == {6}
save_file(dict(module.state_dict()), Path(sys.argv[2]) / f"rank{rank}.safetensors")
try:
    test_loop.fit_apart(Path(sys.argv[2]) / "apart", stop_at=5)
except KeyboardInterrupt:
    module, rows = test_loop.fit_apart(Path(sys.argv[2]) / "apart")
save_file(dict(module.state_dict()), Path(sys.argv[2]) / f"apart{rank}.safetensors")
leave()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="fork is not of Windows")
def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    """Two forks of one process, told of each other as torchrun tells them; the second training is killed and goes on."""
    words = [sys.executable, "-c", TWO, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for made, (module, _) in {"rank": fit(tmp_path / "alone"), "apart": fit_apart(tmp_path / "alone-apart")}.items():
        for rank in range(2):
            other = load_file(tmp_path / f"{made}{rank}.safetensors")
            for name, tensor in module.state_dict().items():
                torch.testing.assert_close(other[name], tensor, rtol=1e-4, atol=1e-5)
    names = [set(load_file(tmp_path / folder / "state.safetensors")) for folder in ("shared", "alone")]
    assert names[0] == names[1] == {f"param.{name}" for name in network().state_dict()}
    untouched = load_file(tmp_path / "apart0.safetensors")["2.weight"]
    assert torch.equal(untouched, fit_apart(tmp_path / "alone-apart")[0][2].weight)  # not even by weight decay


def _distance(a: nn.Module, b: nn.Module) -> float:
    return float(sum((p - q).detach().abs().sum() for p, q in zip(a.parameters(), b.parameters(), strict=True)))
