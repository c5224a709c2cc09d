"""aptp-bench profile"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from aptp_bench.cli.options import Json, print_json

EPILOG = (
    "Examples: aptp-bench profile --model sd21  |  aptp-bench profile --model mini-sd --mixture runs/finetune-…/mixture"
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(profile)


def profile(
    model: Annotated[str, typer.Option(help="The model: see aptp-bench models.")],
    mixture: Annotated[Path | None, typer.Option(help="A saved mixture of this model: count its experts.")] = None,
    as_json: Json = False,
) -> None:
    """Gates, parameters and MACs of a model, or of every expert of a mixture, without weights or images."""
    facts = profiled(model)
    if mixture is not None:
        facts["experts"] = experts(mixture, facts["latent"], facts["tokens"])
    if as_json:
        print_json(facts)
    else:
        from aptp_bench.cli.tables import show_profile

        show_profile(facts)


def profiled(model: str) -> dict[str, Any]:
    """What a model has to prune and what it costs, whole numbers, from its geometry alone."""
    from aptp_bench import registry
    from aptp_bench.models.gates import GateSpace
    from aptp_bench.summary import network_facts

    kind = registry.get("models", model)()
    unet = kind.skeleton()
    space = GateSpace.of(unet)
    facts = network_facts(unet, kind.latent_size, kind.tokens)
    sizes = {"latent": kind.latent_size, "tokens": kind.tokens, "resolution": kind.resolution}
    gates = {"gates": space.size, "gates_by_kind": space.counts()}
    return {"model": model, "world": kind.world, **gates, "params": facts["parameters"], "macs": facts["macs"], **sizes}


def experts(folder: Path, latent: int, tokens: int) -> list[dict[str, Any]]:
    """Parameters and MACs of each expert of a saved mixture. Raises CheckpointError."""
    from aptp_bench.models.mixture import Mixture
    from aptp_bench.summary import network_facts

    mixture = Mixture.load(folder, lazy=True)
    found = [network_facts(mixture.experts[i], latent, tokens) for i in range(len(mixture))]
    return [{"expert": i, "params": facts["parameters"], "macs": facts["macs"]} for i, facts in enumerate(found)]
