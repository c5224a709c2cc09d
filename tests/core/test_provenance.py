from __future__ import annotations

import copy
import json
import re
import subprocess
from importlib import metadata
from pathlib import Path, PurePosixPath

import pytest
import torch
from datasets import Dataset

from aptp_bench.core import digests, provenance, threads
from aptp_bench.errors import ConfigError
from aptp_bench.registry import get


def test_the_weights_digest_is_the_networks_and_sees_one_changed_number_and_the_scheduler(tiny):
    digest = digests.weights_digest(tiny)
    assert digest == digests.weights_digest(tiny)
    other = copy.deepcopy(tiny)
    assert digests.weights_digest(other) == digest
    other.scheduler = type(tiny.scheduler).from_config(tiny.scheduler.config, prediction_type="epsilon")
    assert digests.weights_digest(other) != digest
    other.scheduler = tiny.scheduler
    with torch.no_grad():
        other.vae.decoder.conv_in.bias[0] += 1e-6
    assert digests.weights_digest(other) != digest


def test_the_data_digest_sees_captions_order_and_pictures():
    data = get("datasets", "coco")().load("val", 4)
    digest = digests.data_digest(data)
    assert digest == digests.data_digest(get("datasets", "coco")().load("val", 4))
    assert digest != digests.data_digest(data.select([1, 0, 2, 3]))
    assert digest != digests.data_digest(get("datasets", "coco")().load("val", 5))
    captions = list(data["caption"])
    blank = [image.point(lambda _: 0) for image in data["image"]]
    assert digest != digests.data_digest(Dataset.from_dict({"caption": captions, "image": blank}))


def test_captions_alone_have_a_digest():
    assert digests.captions_digest(["a", "b"]) != digests.captions_digest(["b", "a"])


class Installed:
    """files: of the installation, in its folder; none where it is editable."""

    def __init__(self, origin: str | None, folder: Path | None = None) -> None:
        self.origin, self.folder = origin, folder
        self.files = folder and [PurePosixPath(f.relative_to(folder).as_posix()) for f in folder.rglob("*.py")]

    def locate_file(self, file: PurePosixPath) -> Path:
        assert self.folder is not None
        return self.folder / file

    def read_text(self, name: str) -> str | None:
        return self.origin


def pretend(monkeypatch: pytest.MonkeyPatch, *origins: str | None) -> None:
    monkeypatch.setattr(metadata, "distributions", lambda name: [Installed(origin) for origin in origins])


def git(folder: Path, *words: str) -> None:
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *settings, "-C", str(folder), *words], check=True, capture_output=True)


def test_the_commit_is_the_sources_and_records_do_not_make_it_dirty(tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    for name in ("code.py", "results/a.json"):
        (tmp_path / name).write_text("1")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    pretend(monkeypatch, None, json.dumps({"url": tmp_path.as_uri(), "dir_info": {}}))
    commit, dirty = provenance.checkout()
    assert len(commit) == 40 and dirty is False
    (tmp_path / "results/a.json").write_text("2")
    (tmp_path / "runs").write_text("untracked")
    assert provenance.checkout() == (commit, False)
    (tmp_path / "code.py").write_text("2")
    assert provenance.checkout() == (commit, True)


def test_a_copy_of_a_clone_that_went_on_has_no_commit(tmp_path, monkeypatch):
    """pip install . copies; what runs is then not what the clone has at its next commit."""
    clone, site = tmp_path / "clone", tmp_path / "site"
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    moved = re.findall(r'^"(aptp_bench\.\w+)" = "([\w/]+)"$', project, re.MULTILINE)  # package-dir
    assert ("aptp_bench.methods", "methods") in moved
    for package, folder in (("aptp_bench.core", "aptp_bench/core"), *moved):
        for place in (clone / folder / "b.py", site / package.replace(".", "/") / "b.py"):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(package)
    git(clone, "init")
    git(clone, "add", ".")
    git(clone, "commit", "-m", "first")
    origin = json.dumps({"url": clone.as_uri(), "dir_info": {}})
    monkeypatch.setattr(metadata, "distributions", lambda name: [Installed(origin, site)])
    commit, dirty = provenance.checkout()
    assert commit is not None and dirty is False
    (clone / "methods" / "b.py").write_text("2")
    git(clone, "commit", "-a", "-m", "second")
    assert provenance.checkout() == (None, None)


def test_what_git_cannot_say_is_unknown(tmp_path, monkeypatch):
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    pretend(monkeypatch, json.dumps({"url": tmp_path.as_uri(), "dir_info": {"editable": True}}))
    (tmp_path / ".git" / "index").write_bytes(b"garbage")
    assert provenance.checkout()[1] is None


def test_no_commit_outside_of_a_checkout(tmp_path, monkeypatch):
    pretend(monkeypatch, json.dumps({"url": tmp_path.as_uri()}))
    assert provenance.checkout() == (None, None)
    pretend(monkeypatch, None)
    assert provenance.checkout() == (None, None)


def test_an_install_from_git_knows_its_commit(monkeypatch):
    pretend(monkeypatch, json.dumps({"url": "https://h/r.git", "vcs_info": {"vcs": "git", "commit_id": "f" * 40}}))
    assert provenance.checkout() == ("f" * 40, False)


def test_versions_name_what_decides_numbers():
    found = provenance.versions()
    assert found["torch"] == torch.__version__.partition("+")[0] or found["torch"] == torch.__version__
    assert {"python", "aptp-bench", "diffusers", "transformers"} <= found.keys()


def test_a_device_that_is_not_there_is_refused_with_one_that_is():
    assert provenance.device("cpu").type == "cpu"
    assert provenance.device("auto").type in ("cpu", "cuda")
    for name in ("cudda", "cuda:99", "meta"):
        with pytest.raises(ConfigError, match=r"--device cpu"):
            provenance.device(name)


def test_threads_follow_the_environment(monkeypatch):
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        assert threads.use_threads() == 1 == torch.get_num_threads()
        monkeypatch.setenv("OMP_NUM_THREADS", "1,2")
        assert threads.use_threads() == 1
        for wrong in ("0", "-1", "many", "99999999999"):
            monkeypatch.setenv("OMP_NUM_THREADS", wrong)
            with pytest.raises(ConfigError, match="OMP_NUM_THREADS"):
                threads.use_threads()
        monkeypatch.delenv("OMP_NUM_THREADS")
        assert threads.use_threads() == threads.processors() >= 1
    finally:
        torch.set_num_threads(before)


def test_all_of_it_together():
    made = provenance.provenance("aptp-bench run", torch.device("cpu"), {"prune": 1.5}, {"model": "0"})
    assert made.command == "aptp-bench run" and made.seconds == {"prune": 1.5}
    assert made.device.endswith("(cpu)") and made.threads == torch.get_num_threads()


def test_a_command_says_what_is_measured_and_not_where_it_goes() -> None:
    words = ["profile", "--model", "mini", "--results-dir", "/a/b", "--plot=x.png", "--set", "order=2"]
    words += ["--plot", "--seed"]
    assert provenance.command_line(["aptp-bench"], words) == "aptp-bench profile --model mini --set order=2"
    assert provenance.command_line(["python"], ["--results-dir", "--plot", "--seed", "1"]) == "python --seed 1"
