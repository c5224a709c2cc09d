"""What routing could win in a world: python -m aptp_bench.benchmarks.oracle_gain --dataset coco

Uniform cuts of the dense network, what each takes from every kind of prompt, and what an oracle that gives hard kinds
more would save at the same mean MACs. Two minutes on one core in the mini world, without fine-tuning.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aptp_bench.cli.failures import outcome
from aptp_bench.cli.options import Device, Json, print_json
from aptp_bench.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from aptp_bench.harness.oracle import OracleGain

SIZES = ("sizes.val=1024", "sizes.partiprompts=0")


def oracle_gain(
    dataset: Annotated[str, typer.Option(help="Whose held-out pairs.")] = "coco",
    by: Annotated[str, typer.Option(help="Column of the dataset that sorts its prompts.")] = "kind",
    cuts: Annotated[str, typer.Option(help="Uniform budgets, two or more, comma-separated.")] = "0.8,0.65,0.5,0.35",
    at: Annotated[str, typer.Option(help="Mean budgets at which the gain is asked for.")] = "0.8,0.65,0.5",
    damage: Annotated[
        str, typer.Option(help="denoising, or a metric with a number a prompt: clip_score.")
    ] = "denoising",
    method: Annotated[str, typer.Option(help="Who cuts: norm, random, structural, …")] = "norm",
    finetune_steps: Annotated[int, typer.Option(min=0, help="Shared fine-tuning of every cut; 0: none.")] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Diffusion steps of a pair, one in each of as many strata.")] = 8,
    scale: Annotated[str, typer.Option(help="Whose networks and sizes: mini, smoke or paper.")] = "mini",
    weights: Annotated[str | None, typer.Option(help="Of the dense pipeline: a folder or a hub id.")] = None,
    unet: Annotated[Path | None, typer.Option(help="Another dense U-Net: diffusers' folder or a builder's.")] = None,
    world: Annotated[Path | None, typer.Option(help="Working folder of benchmarks.mini_world: its networks.")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="As for aptp-bench run; sizes.val=1024.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of cuts drawn by lot, and of the noise.")] = 0,
    runs_dir: Annotated[Path, typer.Option(help="Where stages are kept.")] = Path("runs"),
    results_dir: Annotated[Path | None, typer.Option(help="Keep what was found here too, under oracle/.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Damage by kind, and the gain of the best allocation over a uniform cut."""
    from aptp_bench import config
    from aptp_bench.core import provenance, threads
    from aptp_bench.harness import oracle
    from aptp_bench.harness.inputs import Materials
    from aptp_bench.harness.session import open_store
    from aptp_bench.models.weights import quiet

    asked = oracle.Question(by, numbers(cuts, "--cuts"), numbers(at, "--at"), finetune_steps > 0, steps, damage)
    extra = [f"finetune.steps={finetune_steps}"] if finetune_steps else ["sizes.train=64"]
    extra += [] if damage == "denoising" else [f"metrics=[{damage}]"]
    recipe = config.recipe(
        method, dataset, scale, {"weights": weights, "seed": seed}, [*SIZES, *extra, *(setting or ())]
    )
    threads.use_threads()
    with quiet():
        given = Materials.of(recipe, provenance.device(device))
        if unet is not None or world is not None:
            given = oracle.with_teacher(given, _teacher(given.teacher, unet, world))
        found = oracle.measure(recipe, given, open_store(runs_dir), asked)
    command = provenance.command_line(["python", "-m", "aptp_bench.benchmarks.oracle_gain"], sys.argv[1:])
    found = found.model_copy(update={"how": found.how.model_copy(update={"command": command})})
    for folder in {runs_dir, results_dir or runs_dir}:
        oracle.save(found, folder)
    print_json(found.model_dump(mode="json")) if as_json else show(found)


def numbers(text: str, option: str) -> tuple[float, ...]:
    """ "0.8,0.5" -> (0.8, 0.5). Raises ConfigError."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as err:
        raise ConfigError(f"{option} takes numbers with commas between, e.g. 0.8,0.65,0.5; got '{text}'") from err


def show(found: OracleGain) -> None:
    """Both tables on stdout."""
    from aptp_bench.cli.view import line, plain_table, titled, wide_console
    from aptp_bench.harness.oracle import RARE

    console = wide_console()
    damages = plain_table(
        [
            "kind",
            "pairs",
            "dense",
            *(f"+ at {cut:.3f}" for cut in found.cuts),
            *(f"oracle {g.mean:g}" for g in found.gains),
        ]
    )
    for i, kind in enumerate(found.kinds):
        pairs = zip(kind.damages, kind.standard_errors, strict=True)
        cells = [f"{kind.error:.4f}", *(f"{damage:.4f} ± {error:.4f}" for damage, error in pairs)]
        damages.add_row(kind.name, str(kind.pairs), *cells, *(f"{gain.ratios[i]:.3f}" for gain in found.gains))
    tuned = f"fine-tuned for {found.finetune_steps} steps" if found.finetune_steps else "not fine-tuned"
    what = f"{found.dataset} ({found.world}), {found.method}, {tuned}, MACs {found.convention}"
    lost = "rise of the denoising error" if found.damage == "denoising" else f"what is lost in {found.damage}"
    titled(console, f"{lost} by {found.by}: {what}", damages)
    gains = plain_table(["mean budget", "oracle gain", "95 % interval", "cross-fitted"])
    for gain in found.gains:
        low, high = gain.interval
        gains.add_row(f"{gain.mean:g}", f"{gain.gain:.1%}", f"{low:.1%} to {high:.1%}", f"{gain.cross_fitted:.1%}")
    titled(console, "what routing could win here: the share of the damage that the best allocation saves", gains)
    for gain in found.gains:
        sizes = {kind.name: round(ratio, 3) for kind, ratio in zip(found.kinds, gain.ratios, strict=True)}
        if RARE not in sizes:
            line(console, f"experts of these sizes: {_command(found, gain.mean, sizes)}")
    pairs_in_all = sum(kind.pairs for kind in found.kinds)
    at = f" at {found.steps} diffusion steps" if found.damage == "denoising" else ""
    line(console, f"{pairs_in_all:,} held-out pairs{at}, paired with the dense network")


def _command(found: OracleGain, budget: float, sizes: dict[str, float]) -> str:
    """The line that gives every kind an expert of its size."""
    settings = ["routes=kinds", f"kinds={found.by}", f"sizes={json.dumps(sizes)}"]
    words = ["aptp-bench", "run", "--method", "aptp", "--dataset", found.dataset, "--scale", found.world]
    words += ["--budget", f"{budget:g}", "--macs", found.convention]
    return shlex.join([*words, *(word for setting in settings for word in ("--set", setting))])


def _teacher(given: Any, unet: Path | None, world: Path | None) -> Any:
    """The pipeline of a world's working folder, or the given one with another U-Net. Raises WeightsError."""
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

    from aptp_bench.benchmarks.mini_world import unet as builder
    from aptp_bench.benchmarks.mini_world.loop import averaged
    from aptp_bench.benchmarks.mini_world.world import World
    from aptp_bench.models import weights

    pipeline = given
    if world is not None:
        pipeline = World(world).pipeline()
    if unet is not None:
        if not unet.is_dir():
            raise WeightsError(f"there is no folder {unet}; give diffusers' or a builder's folder")
        built = (unet / "state.safetensors").exists()
        network = averaged(builder.network(), unet) if built else weights.load(UNet2DConditionModel, unet)
        pipeline = StableDiffusionPipeline(**{**pipeline.components, "unet": network}, requires_safety_checker=False)
    return pipeline


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(oracle_gain)
    sys.exit(outcome(lambda: app(standalone_mode=False)))
