"""The pruning stage: warm-up of the predictor (1a), then predictor and codes together (1b); the U-Net is frozen.

Paper: APTP, arXiv:2406.12042, eqs. 8, 12-15, 20-22, 26 and the schedule of its implementation details.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from aptp_bench.budget import Budget
from aptp_bench.methods.aptp import losses
from aptp_bench.methods.aptp.config import APTPConfig
from aptp_bench.methods.aptp.gumbel import Relaxation, straight_through
from aptp_bench.methods.aptp.predictor import Architect
from aptp_bench.methods.aptp.routing import Routing
from aptp_bench.methods.aptp.transport import Transport, nearest
from aptp_bench.pruning.cost import Cost
from aptp_bench.pruning.gates import Gated
from aptp_bench.training import diffusion
from aptp_bench.training.diffusion import Draw, Noising
from aptp_bench.training.latents import Pairs
from aptp_bench.training.loop import Part

PLAN_ITERATIONS = 200  # of Sinkhorn over all training pairs, where batches make do with 3


@dataclass(frozen=True)
class Sampled:
    """What a step has drawn for the whole batch: pairs [B], their z [B, d], steps and noise.

    part: the share of the batch to compute; generator: for what else is drawn, the gates' noise.
    """

    pairs: Tensor
    prompts: Tensor
    draw: Draw
    part: Part
    generator: torch.Generator


@dataclass(frozen=True)
class Search:
    """The losses of both stages over one gated teacher.

    prompts: z of all training pairs, [n, d], on the CPU; fixed: the code of every training pair, int64 [n], where there
    is no predictor to route them; targets: of every code its own ratio, [N], None where their mean is the budget's.
    """

    gated: Gated
    pairs: Pairs
    prompts: Tensor
    noising: Noising
    cost: Cost
    budget: Budget
    routing: Routing
    config: APTPConfig
    fixed: Tensor | None = None
    targets: Tensor | None = None

    def warm(self, step: int, generator: torch.Generator, part: Part) -> dict[str, Tensor]:
        """Stage 1a: every sample runs under its own e' (eq. 12); no codes, no transport. Trains eta."""
        at = self._sample(generator, part)
        relaxed = self.relaxation.gates(self.architect(at.prompts), generator)
        gates = self._acting(relaxed)
        weights = gates.new_full((self.config.batch,), 1.0 / self.config.batch)
        ratios = self._ratio(gates)
        terms = self._network(at, gates, weights)
        terms |= self._budget(ratios.mean(), ratios) if self.targets is None else self._sizes(ratios, self.targets[:1])
        terms["contrastive"] = self._contrastive(at, relaxed)
        return {"loss": self._objective(terms), **terms, "ratio": ratios.mean()}

    def joint(self, step: int, generator: torch.Generator, part: Part) -> dict[str, Tensor]:
        """Stage 1b, eq. 15: every sample runs under its assigned code. Trains the codes, and eta by eq. 13."""
        at, codes = self._sample(generator, part), self.architect.codes
        code_gates = self.relaxation.gates(codes, generator)
        terms, assignment = self._routed(at, (codes, code_gates))
        acting = self._acting(code_gates)
        ratios = self._ratio(acting)
        loads = torch.bincount(assignment, minlength=len(codes)) / len(assignment)
        mean = (loads * ratios).sum()
        terms |= self._network(at, acting[assignment], self._weights(assignment).to(codes))
        if self.targets is not None:
            terms |= self._sizes(ratios, self.targets)
        else:
            terms |= self._budget(mean, ratios[assignment] if self.config.std_over == "samples" else ratios[loads > 0])
        return {"loss": self._objective(terms), **terms, "ratio": mean, "loads": loads, "ratios": ratios}

    def align(self, plan: Tensor, step: int, generator: torch.Generator, part: Part) -> dict[str, Tensor]:
        """Ours: cross-entropy of the test rule towards a plan, the code of every training pair [n]. Trains eta only."""
        drawn = torch.randint(len(self.pairs), (self.config.batch,), generator=generator)
        return {"loss": self._towards(plan[drawn], self.routing.scores(self._prompts(drawn)))}

    def plan(self) -> Tensor:
        """The code of every training pair by transport over all of them, int64 [n], on the CPU.

        Similarities are first divided by their deviation: of codes that are alike, eps would see no difference.
        """
        transport = replace(self.transport, iterations=PLAN_ITERATIONS, relative=True)
        return transport(self.routing.similarities(self.prompts))

    @property
    def transport(self) -> Transport:
        """How similarities become codes in training."""
        c = self.config
        return Transport(c.transport_eps, c.transport_iterations, c.transport_rounding, c.transport_relative)

    @property
    def architect(self) -> Architect:
        """What is trained."""
        return self.routing.architect

    @property
    def relaxation(self) -> Relaxation:
        """How logits become gates."""
        return self.routing.relaxation

    def routes(self) -> Tensor:
        """The code of every training pair by eq. 22, int64 [n]."""
        return self.routing.routes(self.prompts) if self.fixed is None else self.fixed

    def _sample(self, generator: torch.Generator, part: Part) -> Sampled:
        drawn = torch.randint(len(self.pairs), (self.config.batch,), generator=generator)
        draw = Draw.of(self.noising, (self.config.batch, *self.pairs.latents.shape[1:]), generator)
        return Sampled(drawn, self._prompts(drawn), draw, part, generator)

    def _prompts(self, drawn: Tensor) -> Tensor:
        return self.prompts[drawn].to(self.architect.codes.device)

    def _network(self, at: Sampled, gates: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """Denoising and distillation terms of this part's rows; gates [B, D] and weights [B] are the whole batch's."""
        config, rows = self.config, at.part.rows(self.config.batch)
        noised = at.draw.apply(self.noising, self.pairs.batch(at.pairs[rows], gates.device), rows, config.snr_gamma)
        taught = None
        if config.distillation:
            self.gated.set(None)
            with torch.no_grad():
                taught = diffusion.observe(self.gated.unet, noised, config.precision)
        self.gated.set(gates[rows])
        seen = diffusion.observe(self.gated.unet, noised, config.precision)
        each = diffusion.compared(seen, taught, noised, config.blocks)
        return {name: (weights[rows] * term).sum() * at.part.of for name, term in each.items()}

    def _routed(self, at: Sampled, codes: tuple[Tensor, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Terms that train eta, and the code of every prompt of the batch, [B]. codes: logits and gates."""
        if self.fixed is not None:
            return {}, self.fixed[at.pairs].to(at.prompts.device)
        embeddings = self.architect(at.prompts)
        gates = self.relaxation.gates(embeddings, at.generator)
        if self.config.transport_noise:
            similarity = self.routing.similarity.training(codes, (embeddings, gates)).detach()
        else:
            similarity = self.routing.compared(at.prompts)
        assignment = self._assigned(similarity, at.part)
        terms = {"contrastive": self._contrastive(at, gates)}
        if self.config.link == "assignment":
            terms["link"] = self._towards(assignment, self.routing.scores(at.prompts))
        return terms, assignment

    def _assigned(self, similarity: Tensor, part: Part) -> Tensor:
        """The code of every prompt; all are transported together, or those of each part."""
        if not self.config.transport:
            return nearest(similarity)
        parts = [Part()] if self.config.batch_scope == "global" else [Part(i, part.of) for i in range(part.of)]
        return torch.cat([self.transport(similarity[:, each.rows(similarity.shape[1])]) for each in parts])

    def _weights(self, assignment: Tensor) -> Tensor:
        """What each sample's network losses count, [B]; the sum is 1."""
        if self.config.network_mean == "samples":
            return torch.full((len(assignment),), 1.0 / len(assignment))
        return losses.expert_weights(assignment, len(self.architect.codes))

    def _contrastive(self, at: Sampled, gates: Tensor) -> Tensor:
        rows = slice(None) if self.config.batch_scope == "global" else at.part.rows(len(gates))
        return losses.contrastive(
            at.prompts[rows], gates[rows], self.config.contrastive_tau, self.config.contrastive_reduction
        )

    def _budget(self, mean: Tensor, ratios: Tensor) -> dict[str, Tensor]:
        """The budget term, and the authors' two that push ratios apart; ratios: of every sample, or of every expert."""
        terms = {"resource": losses.resource(mean, self.target(self.budget.ratio))}
        if len(self.architect.codes) > 1:
            terms |= {"max": 1.0 - ratios.max(), "std": -(ratios.var() + 1e-12).sqrt()}  # the root has no slope at 0
        return terms

    def _sizes(self, ratios: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The budget term of networks that have a size each: the mean of eq. 26 over them."""
        wanted = torch.tensor([self.target(ratio) for ratio in targets.tolist()])
        return {"resource": losses.resource(ratios, wanted.to(ratios)).mean()}

    def _objective(self, terms: dict[str, Tensor]) -> Tensor:
        c = self.config
        weights = {
            "denoising": 1.0,
            "output": c.output_weight,
            "blocks": c.block_weight,
            "resource": c.resource_weight,
            "contrastive": c.contrastive_weight * c.contrastive,
            "max": c.max_weight,
            "std": c.std_weight,
            "link": c.link_weight,
        }
        return torch.stack([weights[name] * term.float() for name, term in terms.items() if weights[name]]).sum()

    def _acting(self, gates: Tensor) -> Tensor:
        return straight_through(gates) if self.config.gates == "straight_through" else gates

    def _ratio(self, gates: Tensor) -> Tensor:
        """Share of the MACs kept, [n], float32: of all, or of what can be pruned."""
        cost = self.cost.ratio if self.config.resource_on == "total" else self.cost.prunable_ratio
        return cost(gates).float()

    def target(self, ratio: float) -> float:
        """What the budget term aims at so that a share `ratio` of all MACs is kept."""
        if self.config.resource_on == "total":
            return ratio
        return 1.0 - (1.0 - ratio) * self.cost.dense / self.cost.prunable_with_depth

    def _towards(self, assignment: Tensor, scores: Tensor) -> Tensor:
        """Cross-entropy of softmax(S / eps) over the codes, S: [N, B], towards an assignment [B]."""
        return F.cross_entropy(scores.T / self.config.transport_eps, assignment.to(scores.device))
