"""One run: prune, fine-tune, generate, measure. Every method goes through it in the same way, the reference too."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from aptp_bench import config, registry
from aptp_bench.budget import TOLERANCE
from aptp_bench.contracts.backbone import BackbonePlugin
from aptp_bench.contracts.evidence import Evidence, Reference, System
from aptp_bench.contracts.method import Job, Method
from aptp_bench.contracts.metric import Metric
from aptp_bench.core import tensors
from aptp_bench.core.blocks import Features, Named, Reading, read_blocks, write_blocks
from aptp_bench.core.digests import captions_digest
from aptp_bench.core.distributed import ALONE, check_batch
from aptp_bench.core.documents import execution
from aptp_bench.core.files import write_json
from aptp_bench.core.provenance import device_name, provenance
from aptp_bench.core.recipe import Recipe
from aptp_bench.core.settings import FinetuneConfig
from aptp_bench.core.store import SCRATCH, Stage, Store
from aptp_bench.core.tensors import read_tensors, write_tensors
from aptp_bench.core.tracking import tracked
from aptp_bench.errors import AptpBenchError, MetricError, PruningError
from aptp_bench.evaluation.evaluate import backbones, companions, measure, metrics_of, reading
from aptp_bench.evaluation.unmeasured import say_unmeasured
from aptp_bench.generation.generate import generate
from aptp_bench.generation.image_sets import Files
from aptp_bench.generation.sampling import Sampler
from aptp_bench.harness import contact_sheet, plans, replicates, run_folder
from aptp_bench.harness.costs import expert_facts, experts_of, macs_of, parameters_of
from aptp_bench.harness.inputs import TRAIN, Materials
from aptp_bench.harness.run_folder import IMAGES, MIXTURE, REPLICATES, SAMPLES
from aptp_bench.harness.sources import source_of
from aptp_bench.models.call_plan import PLAIN
from aptp_bench.models.mixture import Mixture, given_back, saved_plan
from aptp_bench.records import Measurement, Record, run_name
from aptp_bench.training.finetune import finetune
from aptp_bench.training.latents import Pairs, encode_pairs

SCHEMA = 1  # part of every key: raise it when a stage's files or meaning change
MEASURED = 2  # in its place in the keys of measurements, which keep their replicates since 2
TRACKED = "tracking"  # of a folder of runs: what trackers write
ASSIGNMENT, EXPERTS, MEASUREMENT = "assignment.json", "experts.json", "measurement.json"
GENERATE = {"dataset": "generate", "partiprompts": "generate-prompts"}
REFERENCE = {"dataset": "reference", "partiprompts": "reference-prompts"}  # images that fidelity is measured against
REDRAWN = 128  # prompts at most that the reference draws again from other noise: the scale of fidelity, not a contest


def run(recipe: Recipe, materials: Materials, store: Store) -> Record:
    """Prune, fine-tune, generate, measure. A stage done before is read, not redone."""
    return carry_out(Bench.of(recipe, materials, store))


def carry_out(bench: Bench) -> Record:
    """The one pass, its trainings followed by a tracker if the store has one."""
    store, name = bench.store, run_name(bench.recipe)
    with tracked(store.progress, store.tracker if store.ranks.first else None, name, store.root / TRACKED) as progress:
        return _passed(replace(bench, store=replace(store, progress=progress)))


def _passed(bench: Bench) -> Record:
    bench.store.progress.say(bench.recipe.name)
    pruned, tuned, images = bench.make()
    results, skipped = bench.measure(tuned, images)
    png, samples = contact_sheet.sheet(images["dataset"].folder / IMAGES, bench.materials.captions("dataset"))
    kept, facts = replicates.packed(results)
    beside = {"samples": samples, "replicates": facts}
    record = bench.record(pruned, images, results, skipped).model_copy(update=beside)
    if bench.store.ranks.first:
        run_folder.write(record, bench.stages, bench.store.root, {SAMPLES: png, REPLICATES: kept})
    return record


def run_each(recipes: Sequence[Recipe], store: Store, device: torch.device) -> list[Record]:
    """The records of recipes that have their model and data in common, such as a run's and its reference's."""
    with store.ranks.together():
        materials = Materials.of(recipes[0], device)
        benches = [Bench.of(recipe, materials, store) for recipe in recipes]
    for line in materials.left_out:
        store.progress.say(line)
    say_unmeasured(recipes, store.progress.say, set())
    store.progress.plan(plans.shares(recipes))
    try:
        return [carry_out(bench) for bench in benches]  # all are resolved, and refused, before the first begins
    finally:
        store.progress.plan({})


def plan(recipe: Recipe, materials: Materials, store: Store) -> list[Stage]:
    """The stages of a run, done or not, without doing any. `store` is dry."""
    bench = Bench.of(recipe, materials, store)
    _, tuned, images = bench.make()
    bench.measure(tuned, images)
    return list(bench.stages.values())


@dataclass(frozen=True)
class Bench:
    """A recipe with its names made objects, and the stages it has come to."""

    recipe: Recipe
    materials: Materials
    store: Store
    method: Method
    metrics: Sequence[Metric]
    networks: dict[str, BackbonePlugin]
    lacking: dict[str, str]  # role -> why its network cannot be had
    source: dict[str, str]  # stage -> digest of the source that makes it
    stages: dict[str, Stage] = field(default_factory=dict)

    @classmethod
    def of(cls, recipe: Recipe, materials: Materials, store: Store) -> Bench:
        """Resolve every name. Raises UnknownNameError, ConfigError."""
        method = registry.get("methods", recipe.method)(**recipe.method_config)
        method.check(recipe.scale)
        if method.tunes:
            check_batch(FinetuneConfig(**recipe.finetune).batch)
        metrics = metrics_of(recipe)
        networks, lacking = backbones(recipe.backbones, materials.device, recipe.backbone_config)
        # read before any work: what is edited from here on is not what runs
        source = _source_of_stages(recipe, networks)
        return cls(recipe, materials, store, method, metrics, networks, lacking, source)

    def make(self) -> tuple[Stage, Stage, dict[str, Stage]]:
        """The stages before measuring: pruned, tuned, images by the prompts they come from."""
        pruned, tuned = self.networks_made()
        images = {on: self.generate(tuned, on) for on in GENERATE if self.materials.captions(on)}
        return pruned, tuned, images

    def networks_made(self) -> tuple[Stage, Stage]:
        """The stages before images: pruned and tuned, which are one where the method is not tuned."""
        pairs = self.pairs() if self.method.uses_data else None
        pruned = self.prune(pairs)
        return pruned, self.finetune(pruned, pairs) if self.method.tunes and pairs is not None else pruned

    def pairs(self) -> Stage:
        """Latents of the training pairs, and the text embeddings that are stored."""
        recipe, given, progress = self.recipe, self.materials, self.store.progress
        pixels = recipe.resolution.train
        key = {"model": given.digests["model"], "data": given.digests[TRAIN], "resolution": pixels}
        key |= {"drawn": given.drawn} if recipe.store_text else {"drawn": given.drawn, "text": False}

        def encode(folder: Path) -> None:
            encode_pairs(
                given.teacher, given.train, progress, recipe.encode_batch, pixels, folder, text=recipe.store_text
            )

        return self._stage("pairs", encode, key, shared=True)

    def prune(self, pairs: Stage | None, whole: bool = False) -> Stage:
        """The method's mixture, and what each expert costs. whole: with the weights, should they have been shed."""
        recipe, given, store = self.recipe, self.materials, self.store
        decisive = {k: v for k, v in recipe.method_config.items() if k not in execution(self.method.Config)}
        key: dict[str, Any] = {"method": recipe.method, "config": decisive, "seed": recipe.seed}
        key |= {"code": _code("methods", recipe.method), "budget": recipe.budget.model_dump()}
        key |= {"model": given.digests["model"], "data": given.digests[TRAIN]}
        if self.method.uses_sampling:
            key["sampling"] = recipe.sampling.model_dump(include={"steps", "scheduler"})
        if reads := self.method.digests(recipe.scale):
            key["reads"] = reads

        def make(folder: Path) -> None:
            workdir = folder / SCRATCH
            workdir.mkdir(exist_ok=True)
            train = NO_PAIRS if pairs is None else Pairs.load(pairs.folder, given.teacher)
            about = (recipe.budget, recipe.seed, given.device, workdir, store.progress, recipe.scale, recipe.sampling)
            job = Job(given.teacher, train, *about, {} if pairs is None else given.labels)
            mixture = given_back(self.method.prune(job), recipe.method)
            if mixture.plan != PLAIN and not self.method.uses_sampling:
                raise PruningError(f"{recipe.method} plans calls for a sampler; say so: uses_sampling = True")
            if store.ranks.first:
                mixture.save(folder / MIXTURE)
                write_json(folder / EXPERTS, expert_facts(mixture, given, recipe.sampling))

        return self._stage("prune", make, key, [pairs] if pairs else [], shared=True, whole=whole)

    def finetune(self, pruned: Stage, pairs: Stage) -> Stage:
        """The same mixture after the shared distillation."""
        recipe, given = self.recipe, self.materials
        config = FinetuneConfig(**recipe.finetune)
        decisive = config.model_dump(mode="json", exclude=execution(FinetuneConfig))

        def make(folder: Path) -> None:
            untuned = self.prune(pairs, whole=True).folder
            tuned = finetune(
                Mixture.load(untuned / MIXTURE, lazy=True), given.teacher, Pairs.load(pairs.folder, given.teacher),
                config,
                seed=recipe.seed, folder=folder / SCRATCH, device=given.device, progress=self.store.progress,
            )  # fmt: skip
            if self.store.ranks.first:
                tuned.save(folder / MIXTURE)

        return self._stage("finetune", make, {"config": decisive, "seed": recipe.seed}, [pruned, pairs], shared=True)

    def generate(self, tuned: Stage, on: str, redrawn: bool = False) -> Stage:
        """One image a caption, and the expert of each. redrawn: of the first REDRAWN captions, from the next seed's noise."""
        recipe, given, store = self.recipe, self.materials, self.store
        captions = given.captions(on)[: REDRAWN if redrawn else None]
        seed = recipe.seed + redrawn
        sampling = recipe.sampling.model_dump(mode="json", exclude={"batch"})
        key = {"captions": captions_digest(captions), "sampling": sampling, "seed": seed}
        key |= {"model": given.digests["model"]}

        def make(folder: Path) -> None:
            mixture = Mixture.load(tuned.folder / MIXTURE, given.device, lazy=True)
            sampler = Sampler.of(given.teacher, recipe.sampling, seed)
            label = f"generate for {recipe.dataset if on == 'dataset' else recipe.prompts}"
            label += " from other noise" if redrawn else ""
            assignment = generate(mixture, sampler, captions, folder / IMAGES, store.progress, store.ranks, label)
            if store.ranks.first:
                write_json(folder / ASSIGNMENT, assignment.tolist())

        return self._stage((REFERENCE if redrawn else GENERATE)[on], make, key, [tuned], shared=True)

    def reference(self, tuned: Stage, on: str) -> Reference | None:
        """The reference row's images of the same prompts and noise; its own from other noise where this is that row.

        Made where they are not yet there: a run need not come after its reference's. None where the recipe has no reference.
        """
        recipe, captions = self.recipe, self.materials.captions(on)
        if recipe.reference == recipe.method:
            stage = self.generate(tuned, on, redrawn=True)
            return Reference(self._image_set(stage, len(captions[:REDRAWN])), f"{recipe.reference} from other noise")
        asked = config.reference_of(recipe)
        if asked is None:
            return None
        other = Bench.of(asked, self.materials, self.store)
        _, made = other.networks_made()
        with self.store.progress.stage(plans.titled(recipe, REFERENCE[on])):
            stage = self.stages[REFERENCE[on]] = replace(other.generate(made, on), name=REFERENCE[on])
        self._note({})
        return Reference(self._image_set(stage, len(captions)), asked.method)

    def measure(self, tuned: Stage, images: dict[str, Stage]) -> tuple[dict[str, Measurement], dict[str, str]]:
        """Every metric's measurement, a stage each, and why the others could not be made.

        The processes read images together. A system is measured by the first alone, while the others are still.
        """
        asked: set[str] = {m.on for m in self.metrics if "reference" in m.needs and m.backbone not in self.lacking}
        references: dict[str, Reference | None] = {on: self.reference(tuned, on) for on in images if on in asked}
        evidences = {on: self._evidence(tuned, stage, on, references.get(on)) for on, stage in images.items()}

        def measured(metric: Metric, evidence: Evidence) -> Measurement:
            together = "mixture" not in metric.needs
            store = self.store if together else replace(self.store, ranks=ALONE)
            own = replace(evidence, cache=partial(self._cached, store), read=evidence.read if together else {})

            def make(folder: Path) -> None:
                found = reading(metric, own)
                if self.store.ranks.first:
                    write_json(folder / MEASUREMENT, found.model_dump(mode="json"))
                if self.store.ranks.first and found.replicates is not None:
                    write_tensors(folder, {"replicates": torch.tensor(found.replicates)})

            after = [tuned, images[metric.on]]
            after += [self.stages[REFERENCE[metric.on]]] if "reference" in metric.needs else []
            stage = self._stage(f"measure-{metric.name}", make, self._metric_key(metric), after, shared=together)
            if not stage.done:
                raise MetricError("nothing is measured in a dry run; run without --dry-run")
            found = json.loads((stage.folder / MEASUREMENT).read_text(encoding="utf-8"))
            if (stage.folder / tensors.FILE).is_file():
                found["replicates"] = read_tensors(stage.folder)["replicates"].tolist()
            return Measurement.model_validate(found)

        return measure(self.metrics, evidences, self.lacking, measured, self.store.progress)

    def record(
        self, pruned: Stage, images: dict[str, Stage], results: dict[str, Measurement], skipped: dict[str, str]
    ) -> Record:
        """The document of this run."""
        given, recipe = self.materials, self.recipe
        facts = json.loads((pruned.folder / EXPERTS).read_text(encoding="utf-8"))
        assignment = json.loads((images["dataset"].folder / ASSIGNMENT).read_text(encoding="utf-8"))
        experts = experts_of(facts, assignment, given.captions("dataset"))
        macs = macs_of(experts, facts["dense"])
        missed = recipe.budget.missed_by(macs[recipe.budget.convention].train_ratio)
        why = facts.get("remark")
        if abs(missed) > TOLERANCE and recipe.budget.ratio != 1:
            said = f"the budget is missed by {missed:+.2%} of the dense MACs"
            self.store.progress.say(f"{recipe.name}: {said}{f' ({why})' if why else ''}")
        elif abs(missed) > TOLERANCE and why:  # a budget of 1 asks for nothing
            self.store.progress.say(f"{recipe.name}: {why}")
        sampler = Sampler.of(given.teacher, recipe.sampling, plan=saved_plan(pruned.folder / MIXTURE))
        used = {metric.backbone for metric in self.metrics if metric.backbone and metric.name in results}
        networks = [self.networks[role] for role in sorted(used)]
        digests = given.digests | {f"method:{name}": x for name, x in self.method.digests(recipe.scale).items()}
        digests |= {f"backbone:{network.name}": network.digest() for network in networks}
        seconds = {stage.name: stage.seconds or 0.0 for stage in self.stages.values()}
        source = {name: self.source[name] for name in self.stages}
        date = max(stage.date for stage in self.stages.values())
        devices = self.store.ranks.gathered(device_name(given.device))
        precision = f"{str(given.teacher.unet.dtype).removeprefix('torch.')}, {torch.get_float32_matmul_precision()}"
        return Record(
            world=recipe.scale,
            task=given.model.task,
            what=recipe,
            macs=macs,
            parameters=parameters_of(experts, facts["dense"]),
            experts=experts,
            calls=sampler.calls.facts,
            remark=facts.get("remark", ""),  # stages of earlier releases have none
            results={name: found.model_copy(update={"replicates": None}) for name, found in results.items()},
            diagnostics=facts.get("diagnostics", {}),
            skipped=skipped,
            how=provenance(recipe.command, given.device, seconds, digests, source, (devices, precision), date),
        )

    def _image_set(self, images: Stage, size: int) -> Files:
        edge = self.recipe.resolution.measure
        return Files.numbered(images.folder / IMAGES, size, f"{images.digest}-{edge}", edge)

    def _evidence(self, tuned: Stage, images: Stage, on: str, reference: Reference | None) -> Evidence:
        recipe, given = self.recipe, self.materials
        captions = given.captions(on)
        return Evidence(
            captions=captions,
            image_set=self._image_set(images, len(captions)),
            real_set=given.reals(on, recipe.resolution.measure),
            reference=reference,
            backbones=self.networks,
            companions=companions((metric for metric in self.metrics if metric.on == on), self.networks),
            deployed=System(
                partial(Mixture.load, tuned.folder / MIXTURE, given.device, lazy=True),
                images.folder / ASSIGNMENT,
                self.stages["prune"].folder / EXPERTS,
                given.model,
                given.teacher,
                given.device,
                recipe.sampling,
                recipe.latency,
                recipe.budget.convention,
            ),
        )

    def _cached(self, store: Store, names: Sequence[Named], reading: Reading) -> Sequence[Features | AptpBenchError]:
        """Features through a store: each of its processes computes some blocks, and a killed run goes on from them."""
        keyed = [(name, key | {"schema": SCHEMA}) for name, key in names]
        label = names[0][0] if len(names) == 1 else f"features of {len(names)} networks"

        def make(folders: Mapping[int, Path]) -> Mapping[int, AptpBenchError]:
            return write_blocks(folders, reading, store.ranks, store.progress, label)

        made = store.stages(keyed, make)
        return [each if isinstance(each, AptpBenchError) else read_blocks(each.folder, reading.blocks) for each in made]

    def _metric_key(self, metric: Metric) -> dict[str, Any]:
        """All that decides a measurement beside the images and the mixture."""
        recipe, given = self.recipe, self.materials
        key: dict[str, Any] = {"metric": metric.name, "code": _code("metrics", metric.name), "schema": MEASURED}
        key |= {"config": metric.config.model_dump(mode="json")}
        if "reals" in metric.needs:
            key |= {"reals": given.digests[given.real_split], "drawn": given.drawn}
        if "images" in metric.needs or metric.backbone:
            key["edge"] = recipe.resolution.measure
        if metric.backbone in self.networks:
            network = self.networks[metric.backbone]
            key["backbone"] = [network.name, network.digest(), recipe.backbone_config.get(network.name, {})]
        if "mixture" in metric.needs:
            key |= {"device": device_name(given.device), "threads": torch.get_num_threads()}
            key |= {"latency": recipe.latency.model_dump(), "convention": recipe.budget.convention}
        return key

    def _stage(
        self,
        name: str,
        fn: Callable[[Path], None],
        key: dict[str, Any],
        after: Sequence[Stage] = (),
        shared: bool = False,
        whole: bool = False,
    ) -> Stage:
        key = {"schema": SCHEMA, "source": self.source[name], **key}
        self._note({name: self.store.named(name, key, after)[0]})
        with self.store.progress.stage(plans.titled(self.recipe, name)):
            self.stages[name] = self.store.stage(name, fn, key=key, after=after, shared=shared, whole=whole)
        return self.stages[name]

    def _note(self, begun: Mapping[str, Path]) -> None:
        """Leave word of the stages so far, for plans."""
        if self.store.ranks.first and not self.store.dry:
            folders = {name: stage.folder for name, stage in self.stages.items()}
            plans.note(self.recipe, {**folders, **begun}, self.store.root)


def _source_of_stages(recipe: Recipe, networks: Collection[str]) -> dict[str, str]:
    """Of every stage that a recipe may come to. networks: roles that have one."""
    found = {
        "pairs": source_of(Bench.pairs),
        "prune": source_of(Bench.prune, registered=[("methods", recipe.method)]),
        "finetune": source_of(Bench.finetune),
        **dict.fromkeys([*GENERATE.values(), *REFERENCE.values()], source_of(Bench.generate)),
    }
    steps = (Bench.measure, Bench._evidence, Bench._image_set, Bench._cached, Materials.reals)
    for name in recipe.metrics:
        role = registry.get("metrics", name).backbone
        read_by = [("backbones", recipe.backbones[role])] if role in networks else []
        found[f"measure-{name}"] = source_of(*steps, registered=[("metrics", name), *read_by])
    return found


NO_PAIRS = Pairs([], torch.empty(0, 0, 0, 0), torch.empty(0, 0, 0))


def _code(group: str, name: str) -> str:
    """Which release of which package provides a plugin: a new release is measured anew."""
    provider = registry.plugins(group)[name].provider
    try:
        return f"{provider} {metadata.version(provider)}"
    except metadata.PackageNotFoundError:
        return provider
