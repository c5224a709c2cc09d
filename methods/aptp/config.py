"""The settings of APTP. What the paper leaves open, or does otherwise than its public code, is an option.

Its help says who does what.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from aptp_bench.core.documents import EXECUTION
from aptp_bench.core.settings import Parts, Precision
from aptp_bench.plugins import PluginConfig

# above which options a list of them has a heading
HEADINGS = {
    "experts": "the mixture", "architectures": "controls: what routing and searching are held against",
    "temperature": "relaxed gates", "transport": "routing", "contrastive": "losses", "warmup_steps": "schedule",
    "landing": "after training",
}  # fmt: skip


class APTPConfig(PluginConfig):
    """Defaults are the paper's text where it is explicit and works, else the authors' code (rezashkv/diffusion_pruning).

    Some are ours; docs/fidelity.md has them all, equation by equation.
    """

    # the mixture
    experts: int = Field(
        8, ge=1, description="N, number of experts; paper: 8 on COCO, 16 or 8 on CC3M, 4, 8, 12 in an ablation"
    )
    uni_arch: bool = Field(
        False, description="Uni-Arch baseline of Table 3: one learned code, no router; `experts` is ignored"
    )
    encoder: str | None = Field(
        None,
        description="prompt encoder, a SentenceTransformer: hub id or folder; None: the world's own, at scale paper "
        "sentence-transformers/all-mpnet-base-v2 (authors; the paper names none)",
        json_schema_extra=EXECUTION,  # its weights decide, which digests say
    )

    # controls: what routing and searching are held against
    architectures: Literal["searched", "random", "equal"] = Field(
        "searched",
        description="searched (paper); random: the sizes that were searched, units drawn by lot; equal: searched under "
        "the budget for every expert by itself, so that all have one size. Controls, ours",
    )
    routes: Literal["learned", "shuffled", "kinds"] = Field(
        "learned",
        description="learned (paper); shuffled: the searched experts, each prompt sent to one by lot, with the loads "
        "that were learned; kinds: an expert for each kind of prompt that the dataset names, of the sizes given. "
        "Controls, ours",
    )
    kinds: str = Field("kind", description="routes=kinds: the dataset's column that names the kinds")
    sizes: dict[str, float] = Field(
        {},
        description="routes=kinds: the share of the MACs that each kind's expert keeps, as oracle_gain prints them; "
        "all are moved by one amount to meet the budget. Empty: all at the budget",
    )

    # relaxed gates
    temperature: float = Field(0.4, gt=0, description="gamma of eq. 9; paper 0.4")
    noise: Literal["gumbel", "logistic"] = Field(
        "gumbel",
        description="gumbel: one Gumbel(0, 1) sample (paper, authors), P(gate > 0.5) = 1 - exp(-exp(logit)); logistic: "
        "what the claimed Bernoulli(sigmoid(logit)) needs",
    )
    offset: float = Field(
        3.0,
        description="added to every width and depth logit so that gates start open; authors 3, not in the paper (0)",
    )
    gates: Literal["soft", "straight_through"] = Field(
        "soft", description="soft: relaxed gates act (paper, authors); straight_through: 0/1 forward, relaxed backward"
    )
    placement: Literal["consumer", "before_norm"] = Field(
        "consumer",
        description="where width gates act; consumer: on the input of the consuming layer, so that gated = cut; "
        "before_norm: the authors', where GroupNorm divides ResBlock gates out again",
    )
    depth_gates: Literal["independent", "nested"] = Field(
        "independent",
        description="independent: one Bernoulli gate each (paper, eq. 9); nested: softmax accumulated along "
        "depth_order, so that depth units close in a fixed order (authors)",
    )
    depth_order: tuple[int, ...] = Field(
        (),
        description="nested depth gates from the last to close to the first, by index; empty: from the outside of the "
        "U-Net in (authors)",
    )
    guard: bool = Field(
        True,
        description="keep the first gate open in training where a layer would close wholly (authors); the cut always "
        "does",
    )
    threshold: float = Field(
        0.5, gt=0, lt=1, description="gate without noise from which a unit is kept; authors 0.5, not in the paper"
    )

    # routing
    transport: bool = Field(
        True, description="optimal transport in training (eqs. 5-8); off: nearest code, row 2 of Table 3"
    )
    transport_eps: float = Field(0.05, gt=0, description="entropy weight of eq. 5; paper 0.05")
    transport_iterations: int = Field(3, ge=1, description="Sinkhorn iterations; paper 3")
    transport_rounding: Literal["argmax", "balanced"] = Field(
        "argmax",
        description="from the plan to one code a prompt; argmax: of each column (eq. 20), which keeps no balance; "
        "balanced: largest entries first, to B / N prompts a code as eq. 6 demands of the plan. Ours",
    )
    transport_relative: bool = Field(
        False,
        description="divide a batch's similarities by their deviation before transport; off: as printed, and while all "
        "gates are open transport_eps sees no difference. Ours; the alignment does it always",
    )
    transport_noise: bool = Field(
        True,
        description="whether the gates that transport compares carry eq. 9's noise (authors); off: without it, as eq. "
        "22 compares at test, so that a prompt's code does not change with the draw",
    )
    similarity: Literal["cosine_gates", "cosine_logits", "inner"] = Field(
        "cosine_gates",
        description="cosine_gates: cosine of relaxed gates, layers scaled by 1/sqrt(width), widths times their depth "
        "gate (authors), without noise at test; cosine_logits: cosine of logits, eq. 22 in training too; "
        "inner: eq. 5 as printed, eq. 22 at test",
    )
    batch_scope: Literal["global", "local"] = Field(
        "global",
        description="whether transport and the contrastive matrix span the whole batch (authors) or each part of it "
        "(process, accumulation); the paper does not say",
    )
    init: Literal["orthogonal", "predicted", "clustered", "random"] = Field(
        "orthogonal",
        description="codes after the warm-up: orthogonal rows (authors), which are all open again; predicted: "
        "embeddings of prompts far apart; clustered: mean embeddings of clusters of prompts, equally many in each, "
        "which keeps what the warm-up learnt; random: normal; the paper does not say",
    )
    link: Literal["none", "assignment"] = Field(
        "none",
        description="how transport reaches the predictor in stage 1b; none: not at all, eta sees the contrastive loss "
        "only (paper, authors); assignment: cross-entropy of the routing towards the plan, as in SwAV",
    )
    link_weight: float = Field(1.0, ge=0, description="weight of the assignment link; ours")
    align_steps: int = Field(
        300,
        ge=0,
        description="steps that fit the predictor to the plan over all training prompts if, after stage 1b, eq. 22 "
        "leaves an expert with less than align_below of them; no network is run; 0: never. Ours: the "
        "paper's rule gives no such guarantee",
    )
    align_below: float = Field(
        0.1, ge=0, lt=1, description="smallest share of the prompts, in parts of 1/N, that is left as it is"
    )
    align_lr: float = Field(1e-2, gt=0, description="learning rate of the alignment; ours")

    # losses
    contrastive: bool = Field(True, description="whether eq. 13 (with its minus sign) is part of the objective")
    contrastive_tau: float = Field(0.03, gt=0, description="tau of eq. 14; paper 0.03")
    contrastive_weight: float = Field(100.0, ge=0, description="lambda_cont; paper 100")
    contrastive_reduction: Literal["mean", "rows"] = Field(
        "mean",
        description="mean: over all B^2 entries, as printed; rows: sum over a row, mean over rows, B times as large",
    )
    resource_weight: float = Field(2.0, ge=0, description="lambda_res; paper 2.0")
    resource_on: Literal["total", "prunable"] = Field(
        "total",
        description="total: eq. 26 on the MACs of the whole network (paper); prunable: of what gates touch, target "
        "adjusted (authors)",
    )
    distillation: bool = Field(True, description="whether eq. 29 is part of the objective; off: rows 1-3 of Table 3")
    output_weight: float = Field(0.2, ge=0, description="weight of output distillation; paper and authors 0.2")
    block_weight: float = Field(0.2, ge=0, description="weight of block distillation; paper and authors 0.2")
    blocks: Literal["mean", "sum", "norm"] = Field(
        "mean",
        description="eq. 28: mean over blocks of mean squared errors (authors), their sum, or the sum of squared norms "
        "as printed",
    )
    network_mean: Literal["experts", "samples"] = Field(
        "experts",
        description="how denoising and distillation are averaged; experts: over the samples of an expert, then over "
        "experts (eq. 15), so that a sample of a seldom used expert counts more; samples: over the batch, so that an "
        "expert counts by its load, as it does in the budget term. Ours",
    )
    max_weight: float = Field(
        0.1, ge=0, description="weight of 1 - largest ratio in the batch; authors 0.1, not in the paper (0)"
    )
    std_weight: float = Field(
        0.1, ge=0, description="weight of minus the ratios' standard deviation; authors 0.1, not in the paper (0)"
    )
    std_over: Literal["samples", "experts"] = Field(
        "samples",
        description="over what the ratios deviate; samples: of the batch, so that an expert counts by its load; "
        "experts: those that have samples, once each (authors)",
    )
    snr_gamma: float | None = Field(
        5.0, gt=0, description="Min-SNR gamma of the denoising loss; authors 5; None: unweighted (paper)"
    )

    # schedule
    warmup_steps: int = Field(500, ge=0, description="stage 1a, predictor alone; paper 500")
    joint_steps: int = Field(
        2500, ge=0, description="stage 1b, predictor and codes; paper 2500 (the authors' COCO config: 4500)"
    )
    batch: int = Field(1024, ge=2, description="pairs of a step over all processes and parts; paper 1024 = 16 x 64")
    accumulate: Parts = Field(
        1,
        description="parts in which a process computes its share of the batch, 16 for one 64-pair device; auto: as few as "
        "fit the GPU, one on a CPU",
        json_schema_extra=EXECUTION,
    )
    gradient_checkpointing: bool = Field(
        False,
        description="forget the U-Net's activations and compute them again when their gradients are due: less memory, "
        "more time, the same numbers",
        json_schema_extra=EXECUTION,
    )
    lr: float = Field(2e-4, gt=0, description="learning rate of AdamW for both modules; paper 2e-4")
    lr_scale: Literal["sqrt_batch", "none"] = Field(
        "sqrt_batch",
        description="sqrt_batch: lr times the root of the batch (authors' scale_lr), 6.4e-3 at 1024; none: as printed, "
        "with which AdamW can move a logit by 0.5 in 2500 steps and no gate that starts open closes",
    )
    lr_warmup: int = Field(100, ge=0, description="steps of linear warm-up of each stage; paper 100")
    weight_decay: float = Field(0.0, ge=0, description="weight decay; authors 0, not in the paper")
    precision: Precision = Field(
        "float32", description="of the U-Net's passes: float32 (authors), tf32 on a GPU, or bfloat16 by autocast"
    )
    checkpoint_every: int = Field(50, ge=1, description="steps between two checkpoints", json_schema_extra=EXECUTION)

    # after training
    landing: Literal["shift", "none"] = Field(
        "shift",
        description="shift: move the threshold, one for all codes, to where the load-weighted mean of the experts is "
        "the budget; none: cut at `threshold` and refuse if that misses. Ours: soft and hard costs differ, "
        "and the paper gives no rule",
    )
    align: Literal[1, 8, 16, 64] = Field(
        1,
        description="widths of the experts stay multiples of this, or of what the dense width has in common with it: "
        "gates of a layer are cut in chunks, by their mean logit; 8: what half-precision matrix units want; 64: whole "
        "tiles; 1: any width (paper). Ours; the search does not see it",
    )

    @model_validator(mode="after")
    def _fits(self) -> APTPConfig:
        if not self.uni_arch and self.batch < self.experts:
            raise ValueError(
                f"a batch of {self.batch} cannot be shared among {self.experts} experts; raise batch or lower experts"
            )
        if self.batch_scope == "local" and self.accumulate == "auto":
            raise ValueError(
                "batch_scope=local transports part by part, so the parts decide; name accumulate, not auto"
            )
        if self.routes != "learned" and self.uni_arch:
            raise ValueError("uni_arch has one network and no routes; leave routes=learned")
        if self.sizes and (self.routes != "kinds" or self.architectures == "equal"):
            raise ValueError(
                "sizes are those of the kinds' experts; use routes=kinds, and architectures that may differ"
            )
        return self

    @property
    def codes(self) -> int:
        """N: number of codes that are trained."""
        return 1 if self.uni_arch else self.experts
