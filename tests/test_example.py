"""A stranger's package: built, installed beside the suite in an environment of its own, and used from the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import torch

SOURCE = Path(__file__).parents[1] / "examples" / "plugin"
COMMAND = "import sys; from aptp_bench.cli import main; sys.argv[0] = 'aptp-bench'; main()"
SHORT = ["sizes.train=16", "sizes.val=4", "sizes.partiprompts=0", "sampling.steps=2", "finetune.steps=1"]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment that sees this one's packages and holds the example besides."""
    root = tmp_path_factory.mktemp("stranger")
    venv.create(root / "env", with_pip=False)
    (folder,) = (root / "env").glob("lib/python*/site-packages")
    here = sysconfig.get_paths()["purelib"]
    (folder / "beside.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    shutil.copytree(SOURCE, root / "plugin")  # building leaves files behind
    python = root / "env" / "bin" / "python"
    alone = ["--quiet", "--no-index", "--no-deps"]
    build = [sys.executable, "-m", "pip", "wheel", *alone, "--no-build-isolation", "-w", root, root / "plugin"]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = root.glob("*.whl")
    install = [sys.executable, "-m", "pip", "--python", python, "install", *alone, wheel]
    subprocess.run(install, check=True, capture_output=True, env=_alone())
    return python


def _alone() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def call(python: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-c", COMMAND, *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=_alone(), check=False)


def test_it_is_short() -> None:
    lines = (SOURCE / "aptp_bench_example.py").read_text().splitlines()
    assert len(lines) < 50 and max(map(len, lines)) <= 120
    ours = [line for line in lines if "import" in line and "aptp_bench" in line]
    assert ours == ["import aptp_bench as bench"]  # the public surface and nothing below it


def test_its_plugins_are_listed_as_ours_are(python: Path, tmp_path: Path) -> None:
    for group, name in (("methods", "uniform"), ("metrics", "colourfulness")):
        rows = {row["name"]: row for row in json.loads(call(python, group, "--json", cwd=tmp_path).stdout)}
        assert rows[name]["package"] == "aptp-bench-example" and len(rows) > 5


def test_it_keeps_what_methods_promise(python: Path, tmp_path: Path) -> None:
    done = call(python, "check", "uniform", "--set", "keep=last", "--json", cwd=tmp_path)
    promises = json.loads(done.stdout)["promises"]
    assert done.returncode == 0 and len(promises) == 6 and all(promise["kept"] for promise in promises)


def test_it_runs_through_the_command_line(python: Path, tmp_path: Path) -> None:
    settings = [word for line in (*SHORT, "metrics=[macs,colourfulness]") for word in ("--set", line)]
    words = ["run", "--method", "uniform", "--dataset", "coco", "--scale", "smoke", "--no-reference", "--json"]
    done = call(python, *words, *settings, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (record,) = json.loads(done.stdout)["records"]
    assert record["macs"]["exact"]["ratio"] == pytest.approx(0.78, abs=0.005)
    assert record["results"]["colourfulness"]["n"] == 4 and record["results"]["colourfulness"]["value"] > 0
    assert list(tmp_path.glob("runs/uniform-coco-*/run.json"))


def test_a_wrong_setting_is_refused_with_the_plugins_own_words(python: Path, tmp_path: Path) -> None:
    done = call(python, "run", "--method", "uniform", "--dataset", "coco", "--set", "keep=middle", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("error: uniform: option 'keep'")
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())


def test_a_grey_image_has_no_colour_and_a_known_one_its_known_value() -> None:
    sys.path.insert(0, str(SOURCE))
    try:
        from aptp_bench_example import Colourfulness
    finally:
        sys.path.remove(str(SOURCE))

    class Images:
        def __init__(self, images: torch.Tensor) -> None:
            self.images = lambda: images

    grey = torch.full((2, 4, 4, 3), 90, dtype=torch.uint8)
    assert Colourfulness()(Images(grey)).value == 0.0
    red = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    red[..., 0] = 200  # opponents 200 and 100 without spread: 0.3 * sqrt(200² + 100²)
    assert Colourfulness()(Images(red)).value == pytest.approx(0.3 * (200**2 + 100**2) ** 0.5)
