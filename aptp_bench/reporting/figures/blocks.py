"""What each expert keeps of each block of the U-Net (APTP, arXiv:2406.12042, Figs. 9 and 10)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from aptp_bench import registry
from aptp_bench.core.progress import Progress
from aptp_bench.models.mixture import Mixture
from aptp_bench.pruning.macs import MacCount, count, example_inputs
from aptp_bench.reporting.figures.colormap import MAP, WHOLE, on_tone
from aptp_bench.reporting.figures.style import PLAIN

if TYPE_CHECKING:
    from aptp_bench.reporting.figures.facts import RunFacts

# conv_in, conv_out and the embeddings are no blocks
BLOCK = re.compile(r"(down_blocks\.\d+|mid_block|up_blocks\.\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)")
SHORT = {"resnets": "R", "attentions": "T", "downsamplers": "D", "upsamplers": "U"}
WIDE, HIGH = 0.235, 0.25  # inches of a cell
LATE = ("downsamplers", "upsamplers")  # they come after all layers of their block
Kept = dict[str, list[float]]


def kept(facts: RunFacts, progress: Progress) -> Kept:
    """Path of each block, in the order of the work -> what each expert keeps of its MACs, as a share.

    Counted on the saved networks' geometry; no weights are read.
    """
    kind = registry.get("models", facts.record.what.model)()
    convention: Any = facts.convention

    def counted(unet: Any) -> MacCount:
        return count(unet, example_inputs(unet, kind.latent_size, kind.tokens), convention)

    skeleton = kind.skeleton()
    dense = counted(skeleton)
    experts = Mixture.load(facts.run.mixture, device="meta", lazy=True).experts
    found = [counted(experts[i]) for i in progress.track(range(len(experts)), "blocks")]
    blocks = [path for path, _ in skeleton.named_modules() if BLOCK.fullmatch(path) and dense.under(path)]
    return {path: [expert.under(path) / dense.under(path) for expert in found] for path in sorted(blocks, key=_order)}


def heat_map(found: Mapping[str, Sequence[float]], budgets: Sequence[float], title: str, convention: str) -> Figure:
    """Experts by blocks: the tone and the number in a cell are the share of the block's MACs that the expert keeps."""
    shares = np.array(list(found.values())).T  # [experts, blocks]
    experts, blocks = shares.shape
    with mpl.rc_context(PLAIN):
        figure = Figure(figsize=(2.0 + WIDE * blocks, 1.9 + HIGH * experts), layout="constrained")
        axes = figure.subplots()
        axes.pcolormesh(shares, cmap=MAP, norm=WHOLE, edgecolors="white", linewidth=0.6)
        for (expert, block), share in np.ndenumerate(shares):
            text, colour = cell(float(share)), on_tone(min(1.0, share), WHOLE)
            axes.text(block + 0.5, expert + 0.5, text, ha="center", va="center", size=6.5, color=colour)
        axes.set_yticks(np.arange(experts) + 0.5, [f"{i} ({budget:.3f})" for i, budget in enumerate(budgets)])
        axes.set_xticks(np.arange(blocks) + 0.5, [_short(path) for path in found], size=6.5)
        axes.invert_yaxis()
        axes.set_ylabel("expert (MACs / dense)")
        axes.set_xlabel("block, in the order of the work: R ResBlock, T transformer, D down-sampler, U up-sampler")
        _groups(axes, list(found))
        bar = figure.colorbar(mpl.cm.ScalarMappable(WHOLE, MAP), ax=axes, pad=0.01, aspect=max(6, 3 * experts))
        bar.set_label(f"kept MACs\n({convention}), share", fontsize=8)
        axes.set_title(title, pad=20)
        return figure


def of_run(facts: RunFacts, progress: Progress) -> Figure:
    """The figure of a run."""
    title = facts.title("MACs that each expert keeps of each block, share of the dense block")
    return heat_map(kept(facts, progress), facts.budgets, title, facts.convention)


def cell(share: float) -> str:
    """A share in few characters: 0, .53, 1."""
    shown = f"{share:.2f}"
    return {"0.00": "0", "1.00": "1"}.get(shown, shown.removeprefix("0"))


def _parts(path: str) -> tuple[str, str, int]:
    """(block of the U-Net, kind of layer, its number)."""
    found = BLOCK.fullmatch(path)
    assert found is not None  # only such paths come here
    return found[1], found[2], int(found[3])


def _order(path: str) -> tuple[int, int, int, int]:
    block, kind, number = _parts(path)
    stage = ("down_blocks", "mid_block", "up_blocks").index(block.split(".")[0])
    within = int(block.split(".")[1]) if "." in block else 0
    return stage, within, 10_000 if kind in LATE else number, kind != "resnets"


def _short(path: str) -> str:
    _, kind, number = _parts(path)
    return SHORT[kind] if kind in LATE else f"{SHORT[kind]}{number}"


def _groups(axes: Any, paths: Sequence[str]) -> None:
    """The U-Net's blocks above the cells of their layers, and lines between them."""
    owners = [_parts(path)[0] for path in paths]
    for name in dict.fromkeys(owners):
        first, length = owners.index(name), owners.count(name)
        label = name.replace("_blocks.", " ").replace("_block", "")
        look = {"ha": "center", "va": "bottom", "size": 8, "textcoords": "offset points"}
        axes.annotate(label, (first + length / 2, 0), (0, 4), **look)
        if first:
            axes.axvline(first, color="grey", linewidth=1.4)
