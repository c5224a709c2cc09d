"""A run named by one folder: `<runs-dir>/<record's name>/run.json` says which stages it came from.

Stages are named relative to the runs folder, so that the whole tree can be moved.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from aptp_bench.core.documents import Frozen, first_problem, from_json
from aptp_bench.core.files import content, sha256_of, write_json, write_whole
from aptp_bench.core.recipe import Recipe
from aptp_bench.core.store import MANIFEST, Stage, Store, digest_of
from aptp_bench.errors import ConfigError
from aptp_bench.harness import contact_sheet, replicates
from aptp_bench.records import Record, Replicates, Samples, run_name, save

FILE, SAMPLES, REPLICATES = "run.json", "samples.png", "replicates.safetensors"
MIXTURE, IMAGES, MEASUREMENT = "mixture", "images", "measurement.json"
UNTUNED = f"{MIXTURE}/expert-*/*.safetensors"  # of a pruned stage: what fine-tuning began with


class _Document(Frozen):
    version: Literal[1] = 1
    stages: dict[str, str]  # name -> its folder's name in the runs folder
    record: Record


@dataclass(frozen=True)
class RunFolder:
    """A finished run: its folder, its record, and the folders of its stages by name (prune, finetune, generate, …)."""

    folder: Path
    record: Record
    stages: Mapping[str, Path]

    @classmethod
    def load(cls, folder: Path) -> RunFolder:
        """The run that `write` left in `folder`. Raises ConfigError if there is none."""
        folder = Path(folder)
        try:
            document = from_json(_Document, content(folder / FILE))
        except OSError as err:
            near = sorted(path.parent for root in (folder, folder.absolute().parent) for path in root.glob(f"*/{FILE}"))
            example = near[0] if near else "runs/aptp-coco-0.78exact-seed0-mini"
            what = f"name a folder that aptp-bench run left, such as {example}"
            raise ConfigError(f"{folder} is no run: it has no {FILE}; {what}") from err
        except ValueError as err:  # pydantic's too
            raise ConfigError(
                f"{folder / FILE} cannot be read ({first_problem(err)}); delete it and run again"
            ) from err
        if lost := sorted(document.record.how.source.keys() - document.stages.keys()):
            raise ConfigError(f"{folder / FILE} has lost the stage {lost[0]} of its record; {_again(document.record)}")
        runs_dir = folder.absolute().parent
        for name in document.stages.values():
            if Path(name).name != name:
                what = f"names a stage outside of {runs_dir}: '{name}'"
                raise ConfigError(f"{folder / FILE} {what}; delete it and run again")
        run = cls(folder, document.record, {name: runs_dir / stage for name, stage in document.stages.items()})
        run._check_stages()
        return run

    def _check_stages(self) -> None:
        """Raise ConfigError where the folder of one stage stands for another, or the mixture has not the record's experts."""
        for name, stage in self.stages.items():
            made = name.replace("reference", "generate")  # images of the dense network: by this run, or by its own
            if re.sub("-[0-9a-f]{12}$", "", stage.name) not in (name, made):
                raise ConfigError(f"{self.folder / FILE} has {stage.name} for its stage {name}; {_again(self.record)}")
        last = self.stages.get("finetune", self.stages.get("prune"))
        mixture, count = (last or self.folder) / MIXTURE, len(self.record.experts)
        if len(list(mixture.glob("expert-*"))) not in (0, count):  # none: they are gone, and who reads them says so
            raise ConfigError(f"{mixture} has not the {count} experts of {self.folder / FILE}; {_again(self.record)}")
        self._check_chain()

    def _check_chain(self) -> None:
        """Raise ConfigError for a stage that was made from others than this run's: it is another run's, of the same kind."""
        made = {name: facts for name, folder in self.stages.items() if (facts := _made(folder))}
        for name, facts in made.items():
            if not self.stages[name].name.endswith(facts["digest"][:12]) or not self._ours(name, made):
                what = f"{self.folder / FILE} has another run's {self.stages[name].name} for its stage {name}"
                raise ConfigError(f"{what}; {_again(self.record)}")

    def _ours(self, name: str, made: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether the manifest of a stage says that it was made for this run; also where that cannot be told."""
        facts, kind = made[name], self.stages[name].name.rpartition("-")[0]
        if not _says(self._asked(name), facts["key"]):
            return False
        if name.startswith("reference") and kind != name:  # the dense network's own run drew them, of the same prompts
            own = made.get(kind, facts)["key"]
            return all(facts["key"].get(key) == own.get(key) for key in ("captions", "seed", "model"))
        chains = _chains(name, "finetune" if "finetune" in self.stages else "prune")
        chains = [chain for chain in chains if self.stages.keys() >= set(chain)]
        if not chains or any(each not in made for chain in chains for each in chain):  # some are gone
            return True
        after = [[made[each]["digest"] for each in chain] for chain in chains]
        return facts["digest"] in (digest_of({"name": name, "key": facts["key"], "after": each}) for each in after)

    def _asked(self, name: str) -> dict[str, Any]:
        """What the recipe says of a stage, by the names that its key has for it."""
        what = self.recipe
        if name == "prune":
            budget = what.budget.model_dump(mode="json")
            return {"method": what.method, "seed": what.seed, "budget": budget, "config": what.method_config}
        if name == "finetune":
            return {"seed": what.seed, "config": what.finetune}
        if name.startswith("generate"):
            return {"seed": what.seed, "sampling": what.sampling.model_dump(mode="json")}
        return {}

    @property
    def recipe(self) -> Recipe:
        """All settings, resolved."""
        return self.record.what

    @property
    def mixture(self) -> Path:
        """The mixture that was measured: the fine-tuned one, or the pruned one where the method is not tuned."""
        return self.stage("finetune" if "finetune" in self.stages else "prune") / MIXTURE

    @property
    def images(self) -> Path:
        """The images of the evaluation captions."""
        return self.stage("generate") / IMAGES

    def stage(self, name: str) -> Path:
        """The folder of a finished stage. Raises ConfigError if the run has no such stage or if it is gone."""
        if name not in self.stages:
            raise ConfigError(f"{self.folder} has no stage '{name}'; it has {', '.join(self.stages)}")
        if not (self.stages[name] / MANIFEST).is_file():
            raise ConfigError(f"the stage {self.stages[name]} of {self.folder} is gone; {_again(self.record)}")
        return self.stages[name]


def place(record: Record, runs_dir: Path) -> Path:
    """Where a record's run lies under `runs_dir`."""
    return runs_dir / run_name(record.what)


def write(record: Record, stages: Mapping[str, Stage], runs_dir: Path, beside: Mapping[str, bytes]) -> None:
    """Leave run.json under `runs_dir`, where the stages lie; a run done again leaves it as it is.

    beside: name -> content of the files that the record names by their digest; empty: there is none.
    """
    folder = place(record, runs_dir)
    document = _Document(stages={name: stage.folder.name for name, stage in stages.items()}, record=record)
    content = document.model_dump(mode="json")
    if not _holds(folder / FILE, content):
        for name, file in beside.items():
            if file:
                write_whole(folder / name, partial(_put, file))
        write_json(folder / FILE, content)


def shed_untuned(records: Iterable[Record], store: Store) -> None:
    """Where the store keeps tuned networks alone: remove the weights that the fine-tuning of these runs began with.

    Once all runs of a command have ended, and while no other command tunes: some may share what they were tuned from.
    """
    if store.keep == "tuned" and store.ranks.first:
        if store.making("finetune"):
            store.progress.say("another command tunes networks in the same folder of runs: nothing is shed now")
            return
        for run in [RunFolder.load(place(record, store.root)) for record in records]:
            if "finetune" in run.stages:
                store.shed(run.stage("prune"), UNTUNED)


def publish(run: RunFolder, results: Path) -> Path:
    """Save a run's record, its samples and its replicates in `results`; where the record lies.

    Raises ConfigError if one is gone or another than the record's, and if a number is not what its stage measured.
    """
    _check_measured(run)
    beside: dict[str, tuple[Callable[[Path], Path], Samples | Replicates | None]]
    beside = {SAMPLES: (contact_sheet.path_of, run.record.samples)}
    if run.record.replicates is not None:
        beside[REPLICATES] = (replicates.path_of, run.record.replicates)
    for name, (_, kept) in beside.items():
        if not (run.folder / name).is_file():
            raise ConfigError(f"{run.folder / name} is gone; {_again(run.record)}")
        if kept is not None and sha256_of(run.folder / name) != kept.sha256:
            raise ConfigError(f"{run.folder / name} is not the file of its record; {_again(run.record)}")
    path = save(run.record, results)
    for name, (place_of, _) in beside.items():
        write_whole(place_of(path), partial(shutil.copyfile, run.folder / name))
    return path


def _check_measured(run: RunFolder) -> None:
    """Raise ConfigError for a value of the record that is not its stage's: an edited one would be ranked as measured."""
    for name, result in run.record.results.items():
        with suppress(OSError, ValueError, KeyError, TypeError):  # a stage that is gone, or that keeps it elsewhere
            measured = json.loads((run.stages[f"measure-{name}"] / MEASUREMENT).read_text(encoding="utf-8"))["value"]
            if measured != result.value:
                raise ConfigError(
                    f"{run.folder / FILE} says {name} {result.value:g}, measured was {measured:g}; {_again(run.record)}"
                )


def _chains(name: str, last: str) -> list[tuple[str, ...]]:
    """From which stages one is made, as far as its name tells. last: the one whose mixture is measured."""
    if name == "finetune":
        return [("prune", "pairs")]
    if name.startswith(("generate", "reference")):
        return [(last,)]
    if not name.startswith("measure-"):
        return []
    drawn = [(last, f"generate{on}") for on in ("", "-prompts")]
    return [*drawn, *((*each, each[1].replace("generate", "reference")) for each in drawn)]


def _says(asked: Mapping[str, Any], key: Mapping[str, Any]) -> bool:
    """Whether a stage's key says what was asked for, of what it says at all: sections leave out what decides no number."""
    for name in asked.keys() & key.keys():
        parts = isinstance(asked[name], Mapping) and isinstance(key[name], Mapping)
        if not (key[name].items() <= asked[name].items() if parts else key[name] == asked[name]):
            return False
    return True


def _put(content: bytes, aside: Path) -> None:
    aside.write_bytes(content)


def _made(folder: Path) -> dict[str, Any] | None:
    """What a stage's manifest says went into it; None where it is gone or does not say."""
    try:
        facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return facts if isinstance(facts["digest"], str) and isinstance(facts["key"], dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _holds(path: Path, content: dict[str, Any]) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")) == content)
    except (OSError, ValueError):
        return False


def _again(record: Record) -> str:
    return f"run again: {record.how.command}"
