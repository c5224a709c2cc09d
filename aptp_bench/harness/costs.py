"""From experts and traffic to the numbers of a record: MACs in every convention, parameters, prompts an expert."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from diffusers import UNet2DConditionModel

from aptp_bench.budget import CONVENTIONS
from aptp_bench.core.settings import SamplingConfig
from aptp_bench.generation.sampling import parts_of
from aptp_bench.harness.inputs import Materials
from aptp_bench.harness.keywords import frequent_words
from aptp_bench.models.call_plan import ONE_CALL, ImageCalls
from aptp_bench.pruning.macs import example_inputs, parameters
from aptp_bench.records import Counted, Expert, Parameters

if TYPE_CHECKING:
    from aptp_bench.models.mixture import Mixture


def network_facts(
    unet: UNet2DConditionModel, latent_size: int, tokens: int, calls: ImageCalls = ONE_CALL
) -> dict[str, Any]:
    """{"macs": {convention: MACs of one call on one sample}, "parameters": number}; weights are not read.

    calls: of an image; the MACs are these calls' over the number that the sampler itself would make.
    """
    inputs = example_inputs(unet, latent_size, tokens)
    return {"macs": {name: calls.macs(unet, inputs, name) for name in CONVENTIONS}, "parameters": parameters(unet)}


def expert_facts(mixture: Mixture, given: Materials, sampling: SamplingConfig) -> dict[str, Any]:
    """{"dense": facts, "experts": [facts with "train_prompts"], "remark", "diagnostics"}: what pruning decided."""
    size = given.teacher.unet.config.sample_size
    calls = ImageCalls.under(mixture.plan, parts_of(given.teacher, sampling.scheduler)["scheduler"], sampling.steps)
    served = torch.bincount(mixture.route(list(given.train["caption"])), minlength=len(mixture)).tolist()
    experts = [
        network_facts(mixture.experts[i], size, given.tokens, calls) | {"train_prompts": served[i]}
        for i in range(len(mixture))
    ]
    dense = network_facts(given.teacher.unet, size, given.tokens)
    about = {"remark": mixture.remark, "diagnostics": dict(mixture.router.diagnostics)}
    return {"dense": dense, "experts": experts, **about}


def experts_of(facts: dict[str, Any], assignment: Iterable[int], captions: Sequence[str]) -> list[Expert]:
    """One entry an expert. captions: of the evaluation; assignment: the expert of each."""
    served = served_by(assignment, captions, len(facts["experts"]))
    return [
        Expert(**expert, eval_prompts=len(own), words=frequent_words(own))
        for expert, own in zip(facts["experts"], served, strict=True)
    ]


def served_by(assignment: Iterable[int], captions: Sequence[str], experts: int) -> list[list[str]]:
    """The captions that each expert serves, in their order. assignment: the expert of each."""
    served: list[list[str]] = [[] for _ in range(experts)]
    for expert, caption in zip(assignment, captions, strict=True):
        served[expert].append(caption)
    return served


def macs_of(experts: list[Expert], dense: dict[str, Any]) -> dict[str, Counted]:
    """What a mixture costs beside the dense network, in each convention."""
    table: dict[str, Counted] = {}
    for name in CONVENTIONS:
        whole = dense["macs"][name]
        costs = [expert.macs[name] for expert in experts]
        pruned = _mean(costs, [expert.eval_prompts for expert in experts])
        trained = _mean(costs, [expert.train_prompts for expert in experts])
        table[name] = Counted(dense=whole, pruned=pruned, ratio=pruned / whole, train_ratio=trained / whole)
    return table


def parameters_of(experts: list[Expert], dense: dict[str, Any]) -> Parameters:
    """Parameters of the dense network, of all experts together, and of the expert that a mean prompt meets."""
    sizes = [expert.parameters for expert in experts]
    mean = _mean(sizes, [expert.eval_prompts for expert in experts])
    return Parameters(dense=dense["parameters"], stored=sum(sizes), per_image=round(mean))


def _mean(values: list[int], weights: list[int]) -> float:
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)
