"""A Stable Diffusion of a few thousand parameters and a prompt encoder as small: everything but quality is real."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

    from aptp_bench.core.store import Store
    from aptp_bench.models.stable_diffusion import Geometry

ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first: of several workers none is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project's files as git has them, committed or staged: what a user's runs leave in a clone is not in it.

    Where there is no git, as in an unpacked archive, the files as they are.
    """
    home = tmp_path_factory.mktemp("tracked")
    if shutil.which("git") and (ROOT / ".git").exists():
        words = ["git", "-c", "safe.directory=*", "checkout-index", "--all", f"--prefix={home}/"]
        subprocess.run(words, cwd=ROOT, check=True)
    else:
        shutil.copytree(ROOT, home, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*", "runs", "build"))
    return home


@pytest.fixture(scope="session")
def snippet() -> Callable[[str, str], Any]:
    """snippet(page, name) -> the class of that name in the Python snippets of docs/extend/page."""

    def find(page: str, name: str) -> Any:
        code = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extend" / page).read_text("utf-8"), re.DOTALL)
        module = sys.modules["snippet"] = ModuleType("snippet")  # pydantic looks a class's names up in its module
        exec(compile("\n".join(code), page, "exec"), module.__dict__)
        return getattr(module, name)

    return find


def tiny_geometry(**unet: Any) -> Geometry:
    """SD 2.1's topology at 8 pixels: latents 4x4. unet: other settings of the U-Net."""
    from aptp_bench.models.stable_diffusion import Geometry

    return Geometry(
        unet={
            "sample_size": 4,
            "block_out_channels": (8, 8, 16, 16),
            "layers_per_block": 1,
            "attention_head_dim": [2, 2, 4, 4],
            "cross_attention_dim": 16,
            "use_linear_projection": True,
            "norm_num_groups": 4,
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D", "DownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "UpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"),
            **unet,
        },
        vae={
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
            "block_out_channels": (8, 8),
            "layers_per_block": 1,
            "latent_channels": 4,
            "norm_num_groups": 4,
            "sample_size": 8,
        },
        text={
            "vocab_size": 514,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "projection_dim": 16,
            "max_position_embeddings": 77,
        },
    )


def tiny_pipeline(**unet: Any) -> StableDiffusionPipeline:
    """Of that geometry."""
    return tiny_geometry(**unet).build()


@pytest.fixture(scope="session")
def tiny() -> StableDiffusionPipeline:
    return tiny_pipeline()


@pytest.fixture(scope="session")
def small_sd() -> StableDiffusionPipeline:
    """The mini world's Stable Diffusion with two levels instead of four: the same kinds of layers, a tenth of them."""
    from aptp_bench.models.stable_diffusion import MINI_GEOMETRY, Geometry

    return Geometry(
        unet={
            **MINI_GEOMETRY.unet,
            "block_out_channels": (32, 64),
            "attention_head_dim": [2, 4],
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            "layers_per_block": 1,
        },
        vae=MINI_GEOMETRY.vae,
        text={**MINI_GEOMETRY.text, "num_hidden_layers": 1},
    ).build()


def narrow(unet: Any, share: float) -> Any:
    """The U-Net with about that share of every layer's width gates."""
    import torch

    from aptp_bench.pruning.gates import GateSpace
    from aptp_bench.pruning.surgery import cut

    space = GateSpace.of(unet)
    keep = torch.ones(space.size, dtype=torch.bool)
    for width in space.widths:
        keep[width.start + max(1, round(share * width.size)) : width.start + width.size] = False
    return cut(unet, space, keep)


@pytest.fixture(scope="session")
def narrowed(small_sd: Any) -> Callable[[float], Any]:
    """narrowed(share) -> small_sd's U-Net with about that share of every layer's width gates."""
    return partial(narrow, small_sd.unet)


def add_plugin(group: str, name: str, kind: Any) -> None:
    from aptp_bench import registry

    entry: Any = SimpleNamespace(name=name, load=lambda: kind, dist=None)
    registry.plugins(group)[name] = registry.Registration(group, name, "stranger", entry)


@pytest.fixture
def register() -> Iterator[Callable[[str, str, Any], None]]:
    """register(group, name, class): a third-party plugin, found as the built-in ones are."""
    from aptp_bench import registry

    added = []

    def add(group: str, name: str, kind: Any) -> None:
        add_plugin(group, name, kind)
        added.append((group, name))

    yield add
    for group, name in added:
        del registry.plugins(group)[name]


def tiny_plugin(tiny: StableDiffusionPipeline) -> Any:
    """`tiny` as a model of the mini world, called tiny-sd."""
    from aptp_bench.plugins import ModelPlugin
    from aptp_bench.pruning.surgery import meta_clone

    class TinySD(ModelPlugin):
        """The smallest Stable Diffusion."""

        name, world, resolution, latent_size = "tiny-sd", "mini", 8, 4

        def load(self, weights: str | None = None) -> StableDiffusionPipeline:
            return tiny

        def skeleton(self) -> Any:
            return meta_clone(tiny.unet)

    return TinySD


@pytest.fixture
def tiny_model(register: Any, tiny: StableDiffusionPipeline) -> str:
    """The name under which `tiny` is registered as a model of the mini world."""
    register("models", "tiny-sd", tiny_plugin(tiny))
    return "tiny-sd"


@pytest.fixture(scope="session")
def router_by() -> Callable[[Callable[[str], int]], Any]:
    """router_by(rule) -> a class of routers, called by-rule, that send a prompt to the expert rule(prompt)."""
    import torch

    from aptp_bench.models.mixture import Router

    def make(rule: Callable[[str], int]) -> Any:
        class ByRule(Router):
            name = "by-rule"

            def __call__(self, prompts: Any) -> Any:
                return torch.tensor([rule(prompt) for prompt in prompts])

            def save(self, folder: Path) -> None:
                (folder / "nothing.json").write_text("{}")

            @classmethod
            def load(cls, folder: Path) -> ByRule:
                return cls()

        return ByRule

    return make


@pytest.fixture(scope="session")
def killed() -> Any:
    """killed(after) -> a progress that raises KeyboardInterrupt after so many items, and counts them as `seen`."""
    from aptp_bench.core.progress import SilentProgress

    class Killed(SilentProgress):
        def __init__(self, after: int) -> None:
            self.after, self.seen = after, 0

        def track(self, items: Any, label: str, done: int = 0) -> Iterator[Any]:
            for item in items[done:]:
                if self.seen == self.after:
                    raise KeyboardInterrupt
                self.seen += 1
                yield item

    return Killed


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the hub: a repository is a folder owner/name in it."""
    import huggingface_hub

    from aptp_bench.models import weights

    root = tmp_path / "hub"

    def made(repo_id: str, private: Any, token: Any, exist_ok: bool) -> None:
        (root / repo_id).mkdir(parents=True, exist_ok=exist_ok)

    def upload(repo_id: str, folder_path: Path, token: Any, commit_message: str) -> None:
        shutil.copytree(folder_path, root / repo_id, dirs_exist_ok=True)

    def fetched(repo_id: str, files: Any, fetch: bool) -> Path | None:
        return root / repo_id if (root / repo_id).is_dir() else None

    monkeypatch.setattr(huggingface_hub, "create_repo", made)
    monkeypatch.setattr(huggingface_hub, "upload_folder", upload)
    monkeypatch.setattr(weights, "snapshot", fetched)
    return root


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    from aptp_bench.core.progress import SilentProgress
    from aptp_bench.core.store import Store

    return Store(tmp_path / "runs", SilentProgress())


@pytest.fixture
def tiny_run(tiny_model: str) -> Callable[..., Any]:
    """tiny_run(method, *settings) -> a recipe that takes a second, measured by what needs no trained network."""
    from aptp_bench.config import recipe

    small = ["sizes.train=12", "sizes.val=6", "sizes.partiprompts=3", "resolution.train=8", "resolution.measure=8"]
    small += ["sampling.steps=2", "sampling.batch=4", "metrics=[macs,parameters]"]
    small += ["finetune.steps=2", "finetune.batch=4"]

    def make(method: str, *settings: str, **flags: Any) -> Any:
        return recipe(method, "coco", "smoke", {"model": tiny_model, **flags}, [*small, *settings])

    return make


@pytest.fixture(scope="session")
def build_encoder() -> Callable[[Path], Path]:
    """build_encoder(folder) -> the folder, with a SentenceTransformer of random weights in it."""

    def build(folder: Path) -> Path:
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding
        from tokenizers import Tokenizer, models, pre_tokenizers

        letters = {"[UNK]": 0} | {chr(code): code for code in range(32, 127)}
        tokenizer = Tokenizer(models.WordLevel(letters, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
        weights = torch.randn(128, 16, generator=torch.Generator().manual_seed(0))
        SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights.numpy())]).save(str(folder))
        return folder

    return build


@pytest.fixture(scope="session")
def make_record() -> Callable[..., Any]:
    """make_record(method, seed=0, budget=0.78, settings=[], samples=None, world=…, what={dotted: value}, how={…}, fid=3.0, latency=None …)

    -> a record as the mini world leaves one, with those results: a value, (value, low, high), or None to leave it out.
    """
    import copy
    import json

    from aptp_bench.records import Record

    base = json.loads((Path(__file__).parent / "fixtures" / "record-v1.json").read_text(encoding="utf-8"))

    def make(method: str = "norm", seed: int = 0, budget: float = 0.78, **given: Any) -> Record:
        document = copy.deepcopy(base)
        what = document["what"] | {"method": method, "method_config": {}, "seed": seed}
        what |= {"settings": list(given.pop("settings", ())), "budget": {"ratio": budget, "convention": "exact"}}
        for key, value in given.pop("what", {}).items():
            section, _, leaf = key.rpartition(".")
            (what[section] if section else what)[leaf] = value
        for counted in document["macs"].values():
            counted |= {"pruned": budget * counted["dense"], "ratio": budget, "train_ratio": budget}
        words = given.pop("words", ["red", "car"])
        document["experts"] = [{**expert, "words": words} for expert in document["experts"]]
        facts = {key: given.pop(key) for key in ("world", "samples", "remark") if key in given}
        what["scale"] = facts.get("world", what["scale"])
        document |= {"schema_version": 3, "what": what, **facts}
        how = document["how"]
        how["command"] = f"aptp-bench run --method {method} --dataset coco --budget {budget:g} --seed {seed}"
        how |= {"dirty": False, **given.pop("how", {})}
        how["digests"] |= given.pop("digests", {})
        for name, detail in given.pop("detail", {}).items():
            document["results"][name]["detail"] |= detail
        for name, value in given.items():
            if value is None:
                del document["results"][name]
                continue
            value, *ends = value if isinstance(value, tuple) else (value,)
            document["results"][name] |= {"value": value, "interval": ends or None}
        return Record.model_validate(document)

    return make


@pytest.fixture(scope="session")
def _kept_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    return tmp_path_factory.mktemp("kept"), {}


@pytest.fixture
def finished(
    tiny_run: Callable[..., Any], build_encoder: Callable[[Path], Path], _kept_runs: tuple[Path, dict[str, Path]]
) -> Callable[[str], Path]:
    """finished(method) -> the folder of a tiny run with its reference run beside it; one a session, so leave it as it is.

    aptp: three experts, whose prompt encoder lies beside the runs as "encoder".
    """
    import torch

    from aptp_bench.config import with_reference
    from aptp_bench.core.progress import SilentProgress
    from aptp_bench.core.store import Store
    from aptp_bench.harness import run_folder
    from aptp_bench.harness.run import run_each

    root, made = _kept_runs

    def make(method: str) -> Path:
        if method not in made:
            settings = []
            if method == "aptp":
                settings = [f"encoder={build_encoder(root / 'encoder')}", "experts=3", "lr=0.1", "lr_warmup=0"]
                settings += ["warmup_steps=3", "joint_steps=5", "batch=12", "align_steps=60", "checkpoint_every=10"]
            recipes = with_reference(tiny_run(method, *settings, **{"budget.ratio": 0.8}))
            records = run_each(recipes, Store(root / "runs", SilentProgress()), torch.device("cpu"))
            made[method] = run_folder.place(records[-1], root / "runs")
        return made[method]

    return make


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The rows and batches of a speed table that are really measured, as it happens."""
    from aptp_bench.profiling.profile import Profiler

    seen: list[tuple[str, int]] = []
    measure = Profiler.measured

    def spy(self: Any, ready: Any, *rest: Any) -> Any:
        seen.append((self.subject.label, ready.setup.batch))
        return measure(self, ready, *rest)

    monkeypatch.setattr(Profiler, "measured", spy)
    return seen
