"""Stages are named by the source that makes them: edits in a copy of the package, each planned by a process of its own."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = "aptp_bench_example.py"
# One process imports torch, and every plan is a fork of it that imports the copy as it is then.
FORKS = """
import json, os, sys
import datasets, diffusers, safetensors.torch, torch, torch_pruning, torchvision
from diffusers import StableDiffusionPipeline
folder, tests = sys.argv[1:]
sys.dont_write_bytecode = True
sys.path[:0] = [folder, tests]

def plans():
    import aptp_bench, aptp_bench_example, conftest
    from pathlib import Path
    from aptp_bench import config
    from aptp_bench.core.progress import SilentProgress
    from aptp_bench.core.store import Store
    from aptp_bench.harness.inputs import Materials
    from aptp_bench.harness.run import plan
    assert aptp_bench.__file__.startswith(folder)
    conftest.add_plugin("models", "tiny-sd", conftest.tiny_plugin(conftest.tiny_pipeline()))
    conftest.add_plugin("methods", "uniform", aptp_bench_example.Uniform)
    small = ["sizes.train=4", "sizes.val=2", "sizes.partiprompts=0", "metrics=[macs,parameters]"]
    recipes = [config.recipe(name, "coco", "smoke", {"model": "tiny-sd"}, small) for name in ("norm", "uniform")]
    materials, store = Materials.of(recipes[0], torch.device("cpu")), Store(Path("none"), SilentProgress(), dry=True)
    return {r.method: {stage.name: stage.folder.name for stage in plan(r, materials, store)} for r in recipes}

for line in sys.stdin:
    sys.stdout.flush()
    child = os.fork()
    if not child:
        torch.manual_seed(0)
        print(json.dumps(plans()), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
ALL = {"pairs", "prune", "finetune", "generate", "measure-macs", "measure-parameters"}
MEASURED = {"measure-macs", "measure-parameters"}
EDITS = {  # (file, function, all of them, or none: a comment) -> the stages of norm and of uniform that it changes
    ("methods/norm.py", ""): (set(), set()),
    ("reporting/numbers.py", "all"): (set(), set()),
    ("methods/aptp/search.py", "all"): (set(), set()),
    ("methods/norm.py", "prune"): (ALL - {"pairs"}, set()),
    ("pruning/coupled.py", "all"): (ALL - {"pairs"}, set()),
    ("pruning/threshold.py", "land"): (set(), ALL - {"pairs"}),
    (PLUGIN, "prune"): (set(), ALL - {"pairs"}),
    (PLUGIN, ""): (set(), set()),
    ("training/latents.py", "encode_pairs"): (ALL, ALL),
    ("training/finetune.py", "finetune"): ({"finetune", "generate", *MEASURED},) * 2,
    ("generation/sampling.py", "draw"): ({"generate", *MEASURED},) * 2,
    ("metrics/macs.py", "weighted"): (MEASURED, MEASURED),
}


def edited(text: str, name: str) -> str:
    """The source with a statement that does nothing in a function, or in all; with a comment where none is named."""
    lines = text.splitlines()
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    places = {node.body[-1].lineno: node.body[-1].col_offset for node in functions if name in (node.name, "all")}
    assert places or not name
    for line in sorted(places, reverse=True):
        lines.insert(line - 1, " " * places[line] + "pass")
    return "\n".join([*lines, "# a comment", ""])


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the whole package in it, and a stranger's beside it."""
    home = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "assets")
    shutil.copytree(ROOT / "aptp_bench", home / "aptp_bench", ignore=ignored)
    for room in ("methods", "metrics", "benchmarks"):
        shutil.copytree(ROOT / room, home / "aptp_bench" / room, ignore=ignored)
    (home / "aptp_bench" / "assets").symlink_to(ROOT / "aptp_bench" / "assets")
    shutil.copy(ROOT / "examples" / "plugin" / PLUGIN, home)
    return home


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="fork is not of Windows")
def test_an_edit_names_the_stages_that_reach_it_anew_and_no_others(package: Path) -> None:
    words = [sys.executable, "-c", FORKS, str(package), str(ROOT / "tests")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None

        def plans() -> dict[str, dict[str, str]]:
            print("", file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())  # type: ignore[union-attr]

        whole = plans()
        assert {method: set(stages) for method, stages in whole.items()} == {"norm": ALL, "uniform": ALL}
        for (file, function), expected in EDITS.items():
            path = package / file if file == PLUGIN else package / "aptp_bench" / file
            before = path.read_text(encoding="utf-8")
            path.write_text(edited(before, function), encoding="utf-8")
            found = plans()
            path.write_text(before, encoding="utf-8")
            changed = {m: {name for name in ALL if found[m][name] != whole[m][name]} for m in found}
            assert changed == dict(zip(("norm", "uniform"), expected, strict=True)), (file, function)
        process.stdin.close()
