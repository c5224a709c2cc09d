from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from aptp_bench.cli import doctor

NETWORKS = {"torch", "diffusers", "transformers", "datasets", "accelerate"}
HEAVY = {"torch", "diffusers", "transformers", "datasets", "numpy", "pandas", "matplotlib"}
ASKED = [["--help"], [], ["run", "--help"], ["--version"], ["methods", "--help"]]
ASK = """
import contextlib, io, json, sys
import aptp_bench.config
from aptp_bench.cli import main
seen = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["aptp-bench", *words]
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        main()
    seen.append([said.getvalue(), sorted({name.partition(".")[0] for name in sys.modules})])
print(json.dumps(seen))
"""


def test_help_version_and_settings_load_nothing_heavy():
    words = [sys.executable, "-c", ASK, json.dumps(ASKED)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    for asked, (said, modules) in zip(ASKED, json.loads(done.stdout), strict=True):
        assert "aptp-bench" in said and not HEAVY & set(modules), asked


def test_the_console_script_and_the_module_are_there():
    script = [str(Path(sys.executable).with_name("aptp-bench"))]
    for command in (script, [sys.executable, "-m", "aptp_bench"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.startswith("aptp-bench ")


QUICK = [
    *(["tables", "--out", "a.md"], ["tables", "aptp_1b", "--out", "b.md"], ["tables", "--list"], ["figures"]),
    *(["methods"], ["methods", "aptp"], ["methods", "aptp", "--all"], ["metrics"], ["models"], ["datasets"]),
    *(["leaderboard", "--check"], ["run", "--method", "aptp", "--dataset", "coco", "--dry-run"]),
    ["run", "--method", "norm", "--dataset", "coco", "--scale", "smoke", "--dry-run", "--json"],
    *(["suite", "aptp_1b", "--dry-run"], ["plan", "aptp_1b", "--scale", "paper", "--processes", "8", "--json"]),
    *(["doctor"], ["evaluate", "two", "--captions", "three.txt"]),
]
UNASKED = {  # beyond torch and what is made with it
    "leaderboard": {"matplotlib", "pandas"}, "tables": {"matplotlib", "pandas"}, "evaluate": {"scipy", "pandas"},
    "methods": {"scipy", "numpy"}, "metrics": {"scipy", "numpy"},
}  # fmt: skip


@pytest.fixture(scope="module")
def checkout(tracked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results and the README of a checkout, and a folder of two images beside three captions."""
    home = tmp_path_factory.mktemp("checkout")
    (home / "results").symlink_to(tracked / "results")
    (home / "README.md").symlink_to(tracked / "README.md")
    (home / "three.txt").write_text("a\nb\nc\n")
    (home / "two").mkdir()
    for name in ("0.png", "1.png"):
        Image.new("RGB", (8, 8)).save(home / "two" / name)
    return home


@pytest.mark.parametrize("asked", QUICK, ids=" ".join)
def test_what_computes_nothing_loads_nothing_that_computes(asked: list[str], checkout: Path) -> None:
    """Nor do records and every plugin's facts."""
    words = [sys.executable, "-c", ASK, json.dumps([asked])]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(words, cwd=checkout, env=environment, capture_output=True, text=True, timeout=120)
    if asked == ["doctor"] and doctor.DRIVER.exists():
        pytest.skip("there is a GPU here, which torch is asked about")
    assert done.returncode == 0, done.stderr
    ((said, modules),) = json.loads(done.stdout)
    assert said or "captions for 2 images" in done.stderr
    assert not ({*NETWORKS, *UNASKED.get(asked[0], set())} & set(modules))


def test_records_are_read_without_what_trains(checkout: Path) -> None:
    code = "import sys, aptp_bench; assert len(aptp_bench.load_records('results')); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=True)
    assert not NETWORKS & set(done.stdout.split())


def test_listing_loads_no_network_library() -> None:
    code = "from aptp_bench import registry\n[p.load() for g in registry.GROUPS[:-1] for p in registry.plugins(g).values()]\n"
    code += "import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert not NETWORKS & set(done.stdout.split())


def test_commands_draw_whatever_backend_a_user_has_for_windows() -> None:
    code = "import sys; from aptp_bench.cli import main; sys.argv[1:] = ['--version']\n"
    code += "try:\n main()\nexcept SystemExit:\n import matplotlib"
    environment = {**os.environ, "MPLBACKEND": "nonsense"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
