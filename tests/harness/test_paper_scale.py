"""Table 1(b) at the paper's scale, whole, on small repositories in the real formats, with data and weights where a lab keeps them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from aptp_bench import config, records
from aptp_bench.cli import app
from aptp_bench.cli.failures import outcome
from aptp_bench.harness.suite import Suite
from aptp_bench.models import weights
from aptp_bench.models.stable_diffusion import SD21, byte_tokenizer
from aptp_bench.reporting.paper_tables.filled import fill
from aptp_bench.reporting.paper_tables.published import PublishedTable
from aptp_bench.reporting.ranking.entries import Entry
from tests.conftest import tiny_geometry

TABLE = "aptp_1b"
SHORT: dict[str, Any] = {  # laid on the recipe of the paper's scale: the same stages, a few steps of each
    "sizes": {"train": 48, "val": 8, "partiprompts": 4},
    "resolution": {"train": 8, "measure": 32},
    "sampling": {"steps": 2, "batch": 8},
    "finetune": {"steps": 2, "batch": 8},
    "latency": {"warmup": 0, "repeats": 2},
    "metrics": ["macs", "parameters", "fid", "clip_score", "cmmd", "pick_score", "ssim"],
}
CLIPS = ("clip-vit-b-32", "clip-vit-l-14-336", "pickscore-v1")
GUIDE = Path(__file__).parents[2] / "docs" / "paper_scale.md"
METHODS = {
    "aptp": {
        "experts": 3,
        "warmup_steps": 2,
        "joint_steps": 4,
        "batch": 32,
        "align_steps": 20,
        "lr": 0.1,
        "lr_warmup": 0,
    },
    "structural": {"stride": 500, "pairs": 8, "micro_batch": 8},
    "ld_pruner": {"prompts": 2, "generations": 2, "steps": 1},
}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """SD 2.1 of a few thousand parameters, and recipes and rows of a few steps."""
    whole, load = config.preset, Suite.load

    def preset(scale: str) -> dict[str, Any]:
        own = {"dataset_config": {"val_images": 8}, "methods": METHODS}
        return config.merged(whole(scale), {**SHORT, "datasets": {"coco2014": own}})

    def loaded(name: str, scale: str | None = None) -> Suite:
        suite = load(name, scale)
        rows = [row.model_copy(update={"settings": tuple(map(_two_steps, row.settings))}) for row in suite.rows]
        return suite.model_copy(update={"rows": tuple(rows)})

    monkeypatch.setattr(config, "preset", preset)
    monkeypatch.setattr(Suite, "load", loaded)
    for fact, value in {"geometry": tiny_geometry(layers_per_block=2), "resolution": 8, "latent_size": 4}.items():
        monkeypatch.setattr(SD21, fact, value)


def _two_steps(setting: str) -> str:
    return "finetune.steps=2" if setting.startswith("finetune.steps=") else setting


@pytest.fixture
def lab(tmp_path: Path, build_encoder: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options that say where a lab keeps things; the folder one stands in holds none of them."""
    disk = tmp_path / "disk"
    _coco(disk / "coco")
    _partiprompts(disk / "p2.tsv")
    SD21().geometry.build().save_pretrained(disk / "sd21")
    for name in CLIPS:
        _clip(tmp_path / "home" / name)
    monkeypatch.setenv("APTP_BENCH_WEIGHTS", str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    places = [
        f"dataset_config.root={disk / 'coco'}",
        f"prompts_config.path={disk / 'p2.tsv'}",
        f"weights={disk / 'sd21'}",
    ]
    places += [f"aptp.encoder={build_encoder(disk / 'encoder')}", "aptp.accumulate=2", "finetune.accumulate=2"]
    return [word for place in places for word in ("--set", place)]


def _partiprompts(file: Path) -> None:
    file.write_text("Prompt\tCategory\tChallenge\n" + "".join(f"prompt {i}\tArts\tBasic\n" for i in range(4)))


def _coco(root: Path) -> None:
    """COCO's official layout: five captions an image, photographs of any size."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 8)):
        (root / f"{split}2014").mkdir(parents=True)
        images = [{"id": i, "file_name": f"COCO_{split}2014_{i:012d}.jpg"} for i in range(count)]
        notes = [{"id": i, "image_id": i % count, "caption": f"thing {i} of {split}"} for i in range(5 * count)]
        for image in images:
            pixels = rng.integers(0, 256, (12 + int(image["id"]), 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / f"{split}2014" / str(image["file_name"]))
        (root / "annotations").mkdir(exist_ok=True)
        file = root / "annotations" / f"captions_{split}2014.json"
        file.write_text(json.dumps({"images": images, "annotations": notes}))


def _clip(folder: Path) -> None:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**tower, "vocab_size": 514, "max_position_embeddings": 16, "eos_token_id": 513, "pad_token_id": 513}
    asked = CLIPConfig(text_config=text, vision_config={**tower, "image_size": 32, "patch_size": 8}, projection_dim=12)
    torch.manual_seed(0)
    with weights.quiet():
        CLIPModel(asked).save_pretrained(folder)
        byte_tokenizer(16).save_pretrained(folder)
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)


@pytest.mark.slow
def test_a_lab_with_its_own_folders_fills_the_papers_table(
    short: None, lab: list[str], tmp_path: Path, capfd: Any
) -> None:
    words = ["suite", TABLE, "--scale", "paper", "--device", "cpu", "--results-dir", "results", *lab]
    assert outcome(lambda: app(words, standalone_mode=False)) == 0, capfd.readouterr().err
    assert "fid will not be measured" in capfd.readouterr().err  # its network is not there, and that is said first
    found = list(records.load_all(Path("results"))[0].values())
    assert {record.what.method for record in found} >= {"dense", "norm", "structural", "bk_sdm", "ld_pruner", "aptp"}
    changed = {setting.partition("=")[0] for record in found for setting in Entry((record,)).changed}
    rows = {setting.partition("=")[0] for row in Suite.load(TABLE, "paper").rows for setting in row.settings}
    assert changed <= rows  # what the table asks for, and nothing of where things lie
    assert all(
        {"clip_score", "cmmd", "pick_score"} <= record.results.keys() and "fid" in record.skipped for record in found
    )

    table = fill(PublishedTable.get(TABLE), found)
    said = {line.label: {cell.column.key: cell.ours.get("paper") for cell in line.cells} for line in table.lines}
    for label, cells in said.items():
        assert cells["macs_g"] is not None and cells["macs_g"].summary is not None, label
        assert cells["clip"] is not None and cells["clip"].summary is not None, label


def test_a_run_without_its_second_prompts_names_their_setting(short: None, lab: list[str], capfd: Any) -> None:
    words = ["run", "--method", "dense", "--dataset", "coco", "--scale", "paper", "--device", "cpu"]
    places = [word for word in lab if "accumulate" not in word and "encoder" not in word and word != "--set"]
    asked = [*places[:1], "prompts_config.path=nowhere.tsv", *places[2:]]
    assert outcome(lambda: app([*words, *(w for each in asked for w in ("--set", each))], standalone_mode=False)) == 2
    assert "prompts_config.path" in capfd.readouterr().err


@pytest.fixture
def fetched(tmp_path: Path, build_encoder: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that one stands in, with what the guide lets one fetch where it says; inception's weights are left out."""
    monkeypatch.chdir(tmp_path)
    _coco(tmp_path / "data" / "coco")
    _partiprompts(tmp_path / "data" / "PartiPrompts.tsv")
    SD21().geometry.build().save_pretrained(tmp_path / "weights" / "sd21")
    build_encoder(tmp_path / "weights" / "all-mpnet-base-v2")
    for name in CLIPS:
        _clip(tmp_path / "weights" / name)
    return tmp_path


@pytest.mark.slow
def test_the_guide_is_followed_word_for_word(
    short: None, fetched: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    for block in re.findall(r"^```bash\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line)
            if words[0] == "export":
                monkeypatch.setenv(*words[1].split("=", 1))
                continue
            ours = words[words.index("aptp_bench" if words[0] == "accelerate" else "aptp-bench") + 1 :]
            run = next((path.parent for path in (fetched / "runs").glob("aptp-*/run.json")), Path("runs/NAME"))
            ours = [str(run) if word == "runs/NAME" else word for word in ours]
            code = outcome(lambda words=ours: app(words, standalone_mode=False))  # type: ignore[misc]
            said = capfd.readouterr()
            assert code == 0 and said.out, (line, said.err)
            done.append(ours[0])
    assert {"plan", "doctor", "run", "suite", "tables", "submit", "leaderboard"} == set(done)
    assert len(records.load_all(fetched / "results")[0]) >= len(Suite.load(TABLE, "paper").runs())
