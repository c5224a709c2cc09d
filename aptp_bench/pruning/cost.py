"""The differentiable twin of the MAC count: what a U-Net costs as a function of its gates.

Paper: APTP, arXiv:2406.12042, Section 3.2 leaves the formula open; this one is exact. A layer's MACs are linear in the
number of its kept units, so two counts of the surgery itself, all units and one unit, give the line.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from aptp_bench.budget import Convention
from aptp_bench.pruning.gates import GateSpace, Width, guarded
from aptp_bench.pruning.macs import ExampleInputs, MacCount, count
from aptp_bench.pruning.surgery import cut, meta_clone

_RESNET_PARTS = ("conv1", "time_emb_proj", "norm2", "conv2")


@dataclass(frozen=True)
class Cost:
    """MACs of a gated U-Net in one convention: rest + sum over blocks of depth gate x (fixed + sum of slope x gate).

    dense: MACs with all gates open; prunable: those that the authors' budget counts, i.e. the layers that width gates
    touch; prunable_with_depth: these and the fixed parts of blocks behind a depth gate (activations left out of both).
    """

    space: GateSpace
    convention: Convention
    dense: int
    prunable: int
    prunable_with_depth: int
    rest: int  # MACs outside of all blocks that have gates
    blocks: tuple[str, ...]  # paths of the ResBlocks and transformers
    slopes: Tensor  # [width gates] MACs of one more unit
    block_of: Tensor  # [width gates] index into blocks
    fixed: Tensor  # [blocks] MACs that no width gate changes
    owner: Tensor  # [blocks] index of the depth gate; len(space.depths) where there is none

    @classmethod
    def of(cls, unet: UNet2DConditionModel, space: GateSpace, inputs: ExampleInputs, convention: Convention) -> Cost:
        """Count `unet` dense and at its leanest, on the meta device. Raises PruningError, CountError as these do."""
        geometry = meta_clone(unet)
        dense = count(geometry, inputs, convention)
        one_unit_each = guarded(torch.arange(space.size) >= space.width_size, space)
        lean = count(cut(geometry, space, one_unit_each), inputs, convention)
        hosts = [layer.path.split(".transformer_blocks.")[0] for layer in space.widths]  # the ResBlock or transformer
        blocks = tuple(dict.fromkeys(hosts))
        owner = {unit.path: i for i, unit in enumerate(space.depths)}
        # of one unit more; 0 for a layer of one unit, which cannot be narrowed
        slopes = [(dense.under(w.path) - lean.under(w.path)) / max(w.size - 1, 1) for w in space.widths]
        fixed = {path: float(dense.under(path)) for path in blocks}
        for layer, host, slope in zip(space.widths, hosts, slopes, strict=True):
            fixed[host] -= slope * layer.size
        prunable = sum(_prunable(layer, dense) for layer in space.widths)
        sizes = torch.tensor([layer.size for layer in space.widths])
        return cls(
            space=space,
            convention=convention,
            dense=dense.total,
            prunable=prunable,
            prunable_with_depth=prunable + _fixed_behind_depth(space, dense),
            rest=dense.total - sum(dense.under(path) for path in blocks),
            blocks=blocks,
            slopes=torch.tensor(slopes, dtype=torch.float64).repeat_interleave(sizes),
            block_of=torch.tensor([blocks.index(host) for host in hosts]).repeat_interleave(sizes),
            fixed=torch.tensor(list(fixed.values()), dtype=torch.float64),
            owner=torch.tensor([owner.get(path, len(owner)) for path in blocks]),
        )

    def __call__(self, gates: Tensor) -> Tensor:
        """gates: [B, D] or [D], soft or boolean -> MACs [B] or scalar, float64, differentiable in the gates."""
        return self.rest + self._by_block(gates).sum(-1)

    def ratio(self, gates: Tensor) -> Tensor:
        """gates: [..., D] -> share of the dense MACs kept, [...]."""
        return self(gates) / self.dense

    def prunable_ratio(self, gates: Tensor) -> Tensor:
        """gates: [..., D] -> the share of prunable_with_depth that is kept, [...], on which the authors' loss works."""
        return 1 - (self.dense - self(gates)) / self.prunable_with_depth

    def block_ratios(self, gates: Tensor) -> dict[str, Tensor]:
        """gates: [..., D] -> share of its MACs that each ResBlock and transformer keeps, path -> [...]."""
        kept = self._by_block(gates) / self._by_block(gates.new_ones(self.space.size))
        return dict(zip(self.blocks, kept.unbind(-1), strict=True))

    def to(self, device: torch.device | str) -> Cost:
        """The same cost with its coefficients on another device."""
        moved = {name: getattr(self, name).to(device) for name in ("slopes", "block_of", "fixed", "owner")}
        return replace(self, **moved)

    def _by_block(self, gates: Tensor) -> Tensor:
        """gates: [..., D] -> MACs of every block, [..., blocks]."""
        if gates.device != self.slopes.device:
            return self.to(gates.device)._by_block(gates)
        gates = gates.to(torch.float64)  # float32 keeps seven digits of a sum of twelve
        width, depth = gates[..., : self.space.width_size], gates[..., self.space.width_size :]
        fixed = self.fixed.expand(*gates.shape[:-1], -1)
        alive = torch.cat([depth, depth.new_ones((*depth.shape[:-1], 1))], dim=-1)[..., self.owner]
        return alive * fixed.index_add(-1, self.block_of, width * self.slopes)


def _prunable(layer: Width, dense: MacCount) -> int:
    if layer.kind != "resnet":
        return dense.under(layer.path)
    return sum(dense.under(f"{layer.path}.{part}") for part in _RESNET_PARTS)


def _fixed_behind_depth(space: GateSpace, dense: MacCount) -> int:
    """Norms, shortcuts and projections of the blocks that a depth gate can close."""
    whole = sum(dense.under(unit.path) for unit in space.depths)
    activations = sum(dense.under(f"{unit.path}.nonlinearity") for unit in space.depths if unit.kind == "resnet")
    return whole - activations - sum(_prunable(layer, dense) for layer in space.widths if layer.depth is not None)
