"""Recipes carried out on this machine: what `aptp_bench.run` and the commands run and suite have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isclose
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aptp_bench import config
from aptp_bench.config import Recipe
from aptp_bench.core.distributed import Ranks, left_alone
from aptp_bench.core.documents import meant, said_once
from aptp_bench.core.progress import Progress, SilentProgress, reporter
from aptp_bench.core.store import Store
from aptp_bench.errors import ConfigError, spoken_in_python
from aptp_bench.evaluation.unmeasured import say_unmeasured
from aptp_bench.harness.suite import shared_key
from aptp_bench.records import Record

if TYPE_CHECKING:
    from aptp_bench.harness.inputs import Materials

Carrier = Callable[[Recipe], Record]
FLAGS = {"model": "model", "weights": "weights", "budget": "budget.ratio", "macs": "budget.convention", "seed": "seed"}


@spoken_in_python()
def run(
    method: str,
    dataset: str = "coco",
    scale: str = "mini",
    settings: Sequence[str] = (),
    runs_dir: str | Path = "runs",
    device: str = "auto",
    reference: bool = False,
    **flags: Any,
) -> Record:
    """Prune, fine-tune, generate and measure, as `aptp-bench run` does, without a word; the method's record.

    settings: "key=value" lines, as --set takes them; runs_dir: where stages are kept, so that a second call reads what
    is done and one that was stopped goes on; device: auto, cpu, cuda, …; reference: make the dense row too.
    flags: budget (share of the dense MACs), macs (exact, aptp, modules), seed, model, weights. Raises AptpBenchError.
    """
    from aptp_bench.core.noise import draws_kept

    recipes = resolved(method, dataset, scale, settings, flags, reference)
    with draws_kept():
        return carry_out(recipes, open_store(Path(runs_dir), SilentProgress()), device)[-1]


def resolved(
    method: str, dataset: str, scale: str, settings: Sequence[str], flags: Mapping[str, Any], reference: bool
) -> list[Recipe]:
    """The recipe that is asked for, after its reference row's if that is wanted. flags: keys of FLAGS, None: not given.

    Raises ConfigError, UnknownNameError, BudgetError.
    """
    for name in flags:
        if name not in FLAGS:
            raise ConfigError(f"a run has no flag '{name}'; {meant(name, FLAGS)}")
    keys = {FLAGS[name]: value for name, value in flags.items() if value is not None}
    try:
        said_once(settings)
    except ValueError as err:
        raise ConfigError(str(err)) from err
    recipe = config.recipe(method, dataset, scale, keys, settings)
    for name, given in flags.items():
        if given is not None and not _same(name, given, attrgetter(FLAGS[name])(recipe)):
            what = f"{FLAGS[name]} is {given} by {name} and {attrgetter(FLAGS[name])(recipe)} by a setting"
            raise ConfigError(f"{what}; leave one out")
    return config.with_reference(recipe) if reference else [recipe]


def _same(name: str, given: Any, resolved: Any) -> bool:
    """Whether a flag is what became of it: the command of a record gives both, a budget with six digits."""
    if name == "budget":
        return isclose(given, resolved, rel_tol=1e-5)
    return bool((config.model_named(given) if name == "model" else given) == resolved)


def open_store(runs_dir: Path, progress: Progress | None = None, **how: Any) -> Store:
    """The store under `runs_dir`. progress: None reports on stderr where this is the first of the processes.

    how: refresh, verify, keep, tracker, as Store takes them.
    """
    ranks = Ranks.here()
    progress = progress or (reporter() if ranks.first else SilentProgress())
    if said := left_alone():
        progress.say(said)
    return Store(runs_dir, progress, ranks, **how)


def carry_out(recipes: Sequence[Recipe], store: Store, device: str) -> list[Record]:
    """The records of recipes that have their model and data in common, such as a run's and its reference's."""
    from aptp_bench.core import provenance
    from aptp_bench.core.threads import use_threads
    from aptp_bench.harness.run import run_each
    from aptp_bench.harness.run_folder import shed_untuned
    from aptp_bench.models.weights import quiet

    use_threads()
    with quiet():
        records = run_each(recipes, store, provenance.device(device))
    shed_untuned(records, store)
    return records


def carrier(store: Store, device: str) -> Carrier:
    """Carries out one recipe after the other; materials are loaded once for those in a row that share them."""
    from aptp_bench.core import provenance
    from aptp_bench.core.threads import use_threads
    from aptp_bench.harness import plans
    from aptp_bench.harness import run as stages
    from aptp_bench.harness.inputs import Materials

    use_threads()
    held: dict[str, Materials] = {}
    said: set[str] = set()

    def carry(recipe: Recipe) -> Record:
        with store.ranks.together():  # a suite goes on past a failure: on every process, or on none
            return carried(recipe)

    def carried(recipe: Recipe) -> Record:
        key = shared_key(recipe)
        if key not in held:
            held.clear()  # two teachers at once may not fit
            held[key] = Materials.of(recipe, provenance.device(device))
            for line in held[key].left_out:
                store.progress.say(line)
        say_unmeasured([recipe], store.progress.say, said)
        store.progress.plan(plans.shares([recipe]))
        try:
            return stages.run(recipe, held[key], store)
        finally:
            store.progress.plan({})

    return carry


def publish(record: Record, store: Store, results: Path) -> Path:
    """Put a run's record and samples with the results; where the record lies. Raises ConfigError."""
    from aptp_bench.harness import run_folder

    return run_folder.publish(run_folder.RunFolder.load(run_folder.place(record, store.root)), results)
