"""Two processes make of a run what one makes, and share its long work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Blocks of four images instead of 256, so that few images are shared too; who computed what is written down.
PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv.pop(1))
import conftest
from aptp_bench.contracts import evidence
from aptp_bench.core import tensors
from aptp_bench.core.distributed import Ranks
from aptp_bench.training import latents

evidence.READ_AT_ONCE = 4
place = sys.argv.pop(1)

def watched(module, name, where):
    done = getattr(module, name)
    def watch(*args):
        with open(f"{place}-{Ranks.here().rank}", "a") as log:
            print(where(*args), file=log)
        return done(*args)
    setattr(module, name, watch)

watched(tensors, "write_tensors", lambda folder, *rest: folder.name.partition("-")[0])
watched(latents, "_write", lambda path, *rest: "pairs")

conftest.add_plugin("models", "tiny-sd", conftest.tiny_plugin(conftest.tiny_pipeline()))

from aptp_bench.cli import main
main()
"""
SMALL = [
    "sizes.train=48", "sizes.val=16", "sizes.partiprompts=4", "sampling.steps=2", "sampling.batch=4", "encode_batch=8",
    "experts=2", "warmup_steps=1", "joint_steps=2", "align_steps=2", "batch=16", "finetune.steps=8",
    "finetune.batch=8", "finetune.accumulate=2", "resolution.train=8", "resolution.measure=8",
    "metrics=[macs,parameters,latency,fid,clip_score,cmmd,inception_score,ssim,psnr,clip_similarity,pick_score]",
]  # fmt: skip
LAUNCH = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0"]


def made(folder: Path, launch: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The record of a run, and who did what."""
    folder.mkdir()
    (folder / "program.py").write_text(PROGRAM)
    words = [sys.executable, *launch, str(folder / "program.py"), str(Path(__file__).parents[1]), str(folder / "did")]
    words += ["run", "--method", "aptp", "--dataset", "coco", "--scale", "smoke", "--model", "tiny-sd"]
    words += ["--device", "cpu", "--no-reference"]
    words += ["--no-report", "--runs-dir", str(folder / "runs"), "--results-dir", str(folder / "results")]
    words += [word for setting in SMALL for word in ("--set", setting)]
    quiet = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=900, env=quiet)
    assert done.returncode == 0, done.stderr
    (path,) = (folder / "results" / "records").glob("*.json")
    return json.loads(path.read_text(encoding="utf-8")), [each.read_text() for each in sorted(folder.glob("did-*"))]


@pytest.mark.slow
def test_two_processes_measure_what_one_measures(tmp_path: Path) -> None:
    (one, alone), (two, shares) = made(tmp_path / "one", []), made(tmp_path / "two", LAUNCH)
    assert two["macs"] == one["macs"] and two["parameters"] == one["parameters"]
    assert two["results"].keys() == one["results"].keys() and one["skipped"].keys() == two["skipped"].keys()
    assert set(one["skipped"]) == {"ssim"}  # images of 8 pixels are too small for it: on both, and the run goes on
    for name in one["results"].keys() - {"latency"}:
        assert two["results"][name]["value"] == pytest.approx(one["results"][name]["value"], rel=1e-3), name
    assert [len(one["how"]["processes"]), len(two["how"]["processes"])] == [1, 2]
    for kind, least in (("pairs", 3), ("features", 4), ("scores", 2)):
        counts = [share.splitlines().count(kind) for share in shares]
        assert sum(counts) == alone[0].splitlines().count(kind) and min(counts) >= least, kind
