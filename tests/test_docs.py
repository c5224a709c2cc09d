"""The site's snippets work as they stand, and its pages are all in the menu."""

from __future__ import annotations

import json
import re
import shlex
import warnings
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

import aptp_bench
from aptp_bench import registry
from aptp_bench.budget import TOLERANCE
from aptp_bench.config import preset, recipe
from aptp_bench.contracts.evidence import Evidence, ImageSet
from aptp_bench.core.settings import FinetuneConfig, SamplingConfig
from aptp_bench.evaluation import conformance
from aptp_bench.generation.sampling import Sampler
from aptp_bench.models.stable_diffusion import MiniSD
from aptp_bench.pruning.macs import count, example_inputs
from aptp_bench.records import Expert, Measurement, Provenance, Record

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page: Path) -> list[str]:
    """The page's Python snippets in their order."""
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_the_method_keeps_what_methods_promise(register: Any, tmp_path: Path, snippet: Any) -> None:
    register("methods", "outermost", snippet("method.md", "Outermost"))
    assert [v.promise for v in conformance.check("outermost", tmp_path) if not v.kept] == []


def test_the_method_that_plans_calls_halves_any_number_of_them(tiny: Any, snippet: Any) -> None:
    plan = snippet("method.md", "EveryOther")().prune(SimpleNamespace(teacher=tiny)).plan
    for steps in (9, 25):
        calls = Sampler.of(tiny, SamplingConfig(steps=steps), plan=plan).calls
        assert calls.made == calls.full == (steps + 1) // 2


def test_the_metric_measures(snippet: Any) -> None:
    class Grey(ImageSet):
        digest = "grey"

        def __len__(self) -> int:
            return 2

        def read(self, indices: range) -> torch.Tensor:
            return torch.full((len(indices), 4, 4, 3), 90, dtype=torch.uint8)

    found = snippet("metric.md", "Brightness")()(Evidence(captions=[], image_set=Grey()))
    assert (found.value, found.n, found.better) == (90.0, 2, "neither")


def test_the_backbone_reads_images(snippet: Any) -> None:
    network = snippet("backbone.md", "Thumbnail")()
    found = network.image_features(torch.full((2, 32, 32, 3), 51, dtype=torch.uint8))
    assert found["pool"].shape == (2, 192) and found["pool"].unique().tolist() == pytest.approx([0.2])


def test_the_page_on_backbones_has_every_role() -> None:
    page = (DOCS / "extend" / "backbone.md").read_text(encoding="utf-8")
    read_by = {name: kind.load().backbone for name, kind in registry.plugins("metrics").items()}
    rows = [re.findall(r"`(\w+)`", line) for line in page.splitlines() if line.startswith("| `")]
    said = {word for row in rows for word in row}
    assert {each for name, role in read_by.items() if role for each in (name, role)} <= said


def test_there_is_a_page_for_each_kind_of_plugin() -> None:
    assert {f"{group[:-1]}.md" for group in registry.GROUPS} == {page.name for page in (DOCS / "extend").iterdir()}


def test_the_dataset_reads_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snippet: Any) -> None:
    rows = []
    for i in range(3):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(tmp_path / f"{i}.png")
        rows.append({"image": str(tmp_path / f"{i}.png"), "caption": f"card {i}"})
    (tmp_path / "cards.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    kind = snippet("dataset.md", "Postcards")
    data = kind(root=tmp_path, held_out=1)
    assert list(data.load("train")["caption"]) == ["card 0", "card 1"]
    assert data.load("val")[0]["image"].getpixel((0, 0)) == (2, 0, 0)
    assert kind.unavailable().startswith("data/postcards is not there")


def test_the_model_has_its_geometry(snippet: Any) -> None:
    unet = snippet("model.md", "MySD")().skeleton()
    assert unet.config.cross_attention_dim == 768 and next(unet.parameters()).is_meta


def test_the_router_is_saved_and_loaded(tmp_path: Path, snippet: Any) -> None:
    kind = snippet("router.md", "ByLength")
    kind(2).save(tmp_path)
    assert kind.load(tmp_path)(["a", "a b c"]).tolist() == [0, 1]


def test_the_page_on_python_works_as_printed(
    small_sd: Any, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder where the names of the page are small networks and images; one snippet goes on from the one before."""
    monkeypatch.chdir(tmp_path)
    kind = type("Small", (MiniSD,), {"load": lambda self, weights=None: small_sd})
    entry: Any = SimpleNamespace(name="mini-sd", load=lambda: kind, dist=None)
    small = registry.Registration("models", "mini-sd", "stranger", entry)
    monkeypatch.setitem(registry.plugins("models"), "mini-sd", small)
    small_sd.save_pretrained("stable-diffusion-v1-5/stable-diffusion-v1-5")  # a folder comes before the hub
    (tmp_path / "photos").mkdir()
    for i in range(2):
        Image.new("RGB", (40, 32), (90 * i, 0, 0)).save(tmp_path / "photos" / f"{i}.png")
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of budgets that whole layers cannot meet
        for code in blocks(DOCS / "python.md"):
            exec(compile(code, "python.md", "exec"), names)
    dense = count(small_sd.unet, example_inputs(small_sd.unet, tokens=32), "exact").total
    left = count(aptp_bench.load("pruned"), example_inputs(small_sd.unet, tokens=32), "exact").total
    assert abs(left / dense - 0.6) <= TOLERANCE
    assert len(names["images"]) == 4 and names["again"].shape == (1, 3, 32, 32)
    assert {path.name for path in (hub / "me").iterdir()} == {"my-mixture", "my-unet"}


def test_the_readmes_five_lines_are_those_of_the_page() -> None:
    (first, *_), readme = blocks(DOCS / "python.md"), blocks(DOCS.parent / "README.md")
    assert first in readme and len(first.split("\n\n")[1].splitlines()) == 3


def test_the_schema_page_names_every_field() -> None:
    page = (DOCS / "records.md").read_text(encoding="utf-8")
    for kind in (Record, Expert, Measurement, Provenance):
        assert [name for name in kind.model_fields if f"`{name}`" not in page] == []


def test_the_page_on_fidelity_names_options_that_are_there() -> None:
    page = (DOCS / "fidelity.md").read_text(encoding="utf-8")
    named = {tuple(each.split(".")) for each in re.findall(r"`([a-z_]+\.[a-z_]+)`", page)}
    fields = {name: kind.load().Config.model_fields for name, kind in registry.plugins("methods").items()}
    fields["finetune"] = FinetuneConfig.model_fields
    assert [f"{owner}.{option}" for owner, option in named if option not in fields.get(owner, ())] == []
    assert {"aptp", "ld_pruner", "bk_sdm", "structural", "norm", "finetune"} == {owner for owner, _ in named}
    assert [name for name in re.findall(r"--as (\w+)", page) if name not in preset("paper")["as"]] == []


def test_every_page_is_in_the_menu() -> None:
    menu = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:")[2]
    assert {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} == set(re.findall(r"[\w/]+\.md", menu))


LENGTHS = {
    "steps",
    "batch",
    "lr",
    "warmup",
    "accumulate",
    "checkpoint_every",
    "warmup_steps",
    "joint_steps",
    "lr_warmup",
}
LENGTHS |= {"stride", "micro_batch", "prompts", "generations"}  # how long, how fast, in what parts


@pytest.mark.parametrize("method", ["aptp", "ld_pruner", "bk_sdm", "structural", "norm"])
def test_what_the_small_worlds_do_otherwise_is_said(method: str) -> None:
    page = (DOCS / "fidelity.md").read_text(encoding="utf-8")
    said = dict(
        re.findall(r"`([a-z_]+\.[a-z_]+)=([^`]+)`", page.partition("in the small worlds |")[2].partition("## ")[0])
    )
    paper, mini = (recipe(method, "coco", scale) for scale in ("paper", "mini"))
    for name, section in ((method, "method_config"), ("finetune", "finetune")):
        here, there = getattr(mini, section), getattr(paper, section)
        differ = {key: value for key, value in here.items() if key not in LENGTHS and value != there.get(key)}
        told = {
            key.partition(".")[2]: yaml.safe_load(value) for key, value in said.items() if key.startswith(f"{name}.")
        }
        assert told == differ


def test_commands_in_the_middle_of_a_sentence_are_of_one_world() -> None:
    """Those in blocks are run by other tests; these name a dataset that their scale has."""
    pages = [DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md", *DOCS.rglob("*.md")]
    said = [each for page in pages for each in re.findall(r"`(aptp-bench [^`\n]+)`", page.read_text(encoding="utf-8"))]
    named = [words for words in map(shlex.split, said) if "--dataset" in words]
    assert named
    for words in named:
        options = dict(pairwise(words))
        recipe(options.get("--method", "dense"), options["--dataset"], options.get("--scale", "mini"))
