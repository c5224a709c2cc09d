"""What a run will do, told before it is done and without a network: its stages, and how far it came when it last ran.

A run notes the folder of each stage as it begins it, under `<runs-dir>/.plans`. A plan reads that; a stage's full name, which
holds digests of weights, data and source, is known only once these are loaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aptp_bench import registry
from aptp_bench.core.files import write_json
from aptp_bench.core.recipe import Recipe
from aptp_bench.core.store import digest_of, seconds_of
from aptp_bench.evaluation.unmeasured import unmeasured

FOLDER = ".plans"
GENERATED = {"dataset": "generate", "partiprompts": "generate-prompts"}  # images by the prompts that they are of
COMPARED = {"dataset": "reference", "partiprompts": "reference-prompts"}
USUAL = {"pairs": 3.0, "prune": 15.0, "finetune": 30.0, "generate": 10.0, "generate-prompts": 4.0}
BRIEF = 1.0  # any other stage, where these are most of a run


@dataclass(frozen=True)
class Planned:
    """A stage of a run: where it was made or begun when the run last came to it, and the seconds it took, if it is done."""

    name: str
    folder: Path | None = None
    seconds: float | None = None

    @property
    def state(self) -> str:
        """In words."""
        if self.seconds is not None:
            return f"done in {self.seconds:.1f} s"
        begun = self.folder is not None and self.folder.with_name(f"{self.folder.name}.partial").is_dir()
        return "begun" if begun else "to do"


def planned(recipe: Recipe, runs_dir: Path) -> list[Planned]:
    """The stages of a run in their order. Raises StoreError if files of a finished one changed."""
    noted = _noted(_place(recipe, runs_dir))
    folders = {name: runs_dir / noted[name] if name in noted else None for name in stages(recipe)}
    return [Planned(name, each, None if each is None else seconds_of(each)) for name, each in folders.items()]


def stages(recipe: Recipe, anywhere: bool = False) -> list[str]:
    """The names of a run's stages. anywhere: on a machine that has all networks of its metrics, else on this one."""
    method = registry.get("methods", recipe.method)(**recipe.method_config)
    images = ["dataset", *(["partiprompts"] if recipe.prompts and recipe.sizes.partiprompts else [])]
    made = ["pairs"] * method.uses_data + ["prune"] + ["finetune"] * (method.tunes and method.uses_data)
    return [*made, *(GENERATED[on] for on in images), *_measured(recipe, images, anywhere)]


def _measured(recipe: Recipe, images: Sequence[str], anywhere: bool) -> Iterator[str]:
    """The images that fidelity is measured against, and a stage for each metric that nothing is lacking for."""
    lacking = unmeasured(recipe, anywhere)
    here = [registry.get("metrics", name) for name in recipe.metrics if name not in lacking]
    on = [each for each in images if any(kind.on == each and "reference" in kind.needs for kind in here)]
    yield from (COMPARED[each] for each in on)
    yield from (f"measure-{kind.name}" for kind in here)


def titled(recipe: Recipe, stage: str) -> str:
    """How progress calls a stage of a run."""
    return f"{recipe.method}: {stage}"


def shares(recipes: Sequence[Recipe]) -> dict[str, float]:
    """The stages of runs as progress calls them, with how long each usually takes compared with the others."""
    return {titled(recipe, name): USUAL.get(name, BRIEF) for recipe in recipes for name in stages(recipe)}


def note(recipe: Recipe, folders: Mapping[str, Path], runs_dir: Path) -> None:
    """Leave word of where the stages of a run are made."""
    names = {name: folder.name for name, folder in folders.items()}
    place = _place(recipe, runs_dir)
    if (
        not place.is_file() or not _noted(place).items() >= names.items()
    ):  # a run that only reads leaves files as they were
        write_json(place, names)


def _place(recipe: Recipe, runs_dir: Path) -> Path:
    return runs_dir / FOLDER / f"{digest_of(recipe.model_dump(mode='json'))[:12]}.json"


def _noted(path: Path) -> dict[str, str]:
    try:
        return {str(name): Path(str(folder)).name for name, folder in json.loads(path.read_text("utf-8")).items()}
    except (OSError, ValueError, AttributeError):  # never begun, or a note that nobody can read: it is only a note
        return {}
