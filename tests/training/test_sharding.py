"""A network that two processes share, each holding its part, is tuned as one process tunes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file

from aptp_bench.core.costs import FLOAT
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.settings import FinetuneConfig
from aptp_bench.models.mixture import ConstantRouter, Mixture
from aptp_bench.pruning.gates import GateSpace, guarded
from aptp_bench.pruning.surgery import cut
from aptp_bench.training import fit
from aptp_bench.training.finetune import finetune
from aptp_bench.training.latents import Pairs
from aptp_bench.training.step_cost import step_cost

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

TWO = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_sharding, torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from aptp_bench.core.distributed import Ranks, leave
from aptp_bench.core.progress import SilentProgress
from aptp_bench.models.mixture import Mixture
from aptp_bench.training import fit

place, rank = Path(sys.argv[2]), Ranks.here().rank
teacher = StableDiffusionPipeline.from_pretrained(place / "teacher", safety_checker=None)
mixture = Mixture.load(place / "mixture", torch.device("cpu"))
unet = fit.sharded(Mixture.load(place / "mixture", torch.device("cpu")).experts[0], True)
kept = sum(p.to_local().numel() for p in unet.parameters())
(place / f"kept-{rank}").write_text(f"{kept} {sum(p.numel() for p in unet.parameters())}")

class Killed(SilentProgress):
    def report(self, label, row):
        if row["step"] == 2:
            raise KeyboardInterrupt

try:
    test_sharding.tuned(mixture, teacher, place / "run", Killed(), shard=True)
except KeyboardInterrupt:
    expert = test_sharding.tuned(mixture, teacher, place / "run", shard=True)
    save_file({name: t.contiguous() for name, t in expert.state_dict().items()}, place / f"rank{rank}.safetensors")
leave()
"""


def tuned(
    mixture: Mixture, teacher: Any, folder: Path, progress: SilentProgress | None = None, shard: bool = False
) -> UNet2DConditionModel:
    """The first expert after four steps."""
    drawn = torch.Generator().manual_seed(0)
    latents, text = torch.randn(8, 4, 4, 4, generator=drawn), torch.randn(8, 77, 16, generator=drawn)
    pairs = Pairs([f"prompt {i}" for i in range(8)], latents, text)
    config = FinetuneConfig(steps=4, batch=6, lr=1e-3, weight_decay=0.1, checkpoint_every=2, accumulate=2, shard=shard)
    cpu = torch.device("cpu")
    return finetune(mixture, teacher, pairs, config, seed=5, folder=folder, device=cpu, progress=progress).experts[0]


@pytest.fixture
def mixture(tiny: StableDiffusionPipeline) -> Mixture:
    """Of one expert that has half of the network's gates."""
    space = GateSpace.of(tiny.unet)
    keep = torch.rand(1, space.size, generator=torch.Generator().manual_seed(1)) > 0.5
    return Mixture([cut(tiny.unet, space, guarded(keep, space)[0])], ConstantRouter())


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="gloo's launcher is not of Windows")
@pytest.mark.skipif(not fit.SHARES_ON_CPU, reason="this PyTorch shares networks between GPUs only")
def test_two_processes_that_share_a_network_tune_it_as_one_does(
    mixture: Mixture, tiny: StableDiffusionPipeline, tmp_path: Path
) -> None:
    """The first attempt is killed after a checkpoint and goes on."""
    (tmp_path / "program.py").write_text(TWO)
    tiny.save_pretrained(tmp_path / "teacher")
    mixture.save(tmp_path / "mixture")
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--rdzv_backend=c10d"]
    words += ["--rdzv_endpoint=localhost:0", str(tmp_path / "program.py"), str(Path(__file__).parent)]
    quiet = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*words, str(tmp_path)], capture_output=True, text=True, check=False, timeout=600, env=quiet)
    assert done.returncode == 0, done.stderr

    given, alone = mixture.experts[0].state_dict(), tuned(mixture, tiny, tmp_path / "alone").state_dict()
    assert any((alone[name] - tensor).abs().max() > 1e-3 for name, tensor in given.items())
    for rank in range(2):
        other = load_file(tmp_path / f"rank{rank}.safetensors")
        assert other.keys() == alone.keys()
        for name, tensor in alone.items():
            torch.testing.assert_close(other[name], tensor, rtol=1e-3, atol=1e-4)
        kept, parameters = map(int, (tmp_path / f"kept-{rank}").read_text().split())
        assert kept < 0.6 * parameters
    states = [set(load_file(tmp_path / run / "expert-00" / "state.safetensors")) for run in ("run", "alone")]
    assert states[0] == states[1]


def test_alone_a_network_is_not_shared(mixture: Mixture, tiny: StableDiffusionPipeline, tmp_path: Path) -> None:
    one, other = (tuned(mixture, tiny, tmp_path / name, shard=name == "a").state_dict() for name in "ab")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_shared_network_is_counted_by_its_parts(tiny: StableDiffusionPipeline) -> None:
    cost = step_cost(tiny.unet, tiny.unet, "weights", 4, 8)
    needs = [cost.needs(4, True, shards=shards) for shards in (1, 2, 4, 8)]
    assert needs == sorted(needs, reverse=True)
    spared = 3 * FLOAT * cost.trained * 7 // 8  # of gradients and two moments, less what is gathered of a layer
    assert spared / 2 < needs[0] - needs[3] <= spared
    assert 0 < cost.widest < cost.trained
