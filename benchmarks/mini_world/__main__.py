"""Train the embedded mini world from nothing: python -m aptp_bench.benchmarks.mini_world --work DIR

Parts are trained in order and each goes on from its checkpoint in DIR if it was stopped. Autoencoders and U-Nets are trained on
--device. Stable Diffusion's take eight minutes on an H200, about a day on a CPU by the rates of earlier trainings; faces and sounds
about two hours of one CPU core. `--only unet --unet-steps 40000` trains one part longer; `--ship` writes what the parts asked for
make up, with its recipe, into the package, and measures Stable Diffusion.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from aptp_bench.benchmarks.mini_world import quality, unet
from aptp_bench.benchmarks.mini_world.world import ASSETS, PARTS, World
from aptp_bench.core import provenance


def main() -> None:
    """Parse, train the parts asked for, ship if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/mini_world"), help="checkpoints and cached pictures")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS), help="train these parts only")
    parser.add_argument("--unet-steps", type=int, default=unet.RECIPE.steps, help="length of the U-Net's training")
    parser.add_argument("--device", type=provenance.device, default="auto", help="of the autoencoders and the U-Nets")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--ship", action="store_true", help="write what is trained into aptp_bench/assets and measure it"
    )
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    # bf16 products with float32 sums: 1.8 times as fast on CPUs with AMX, and harmless at these sizes
    torch.backends.mkldnn.conv.fp32_precision = torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    world = World(asked.work, asked.device, {"unet": replace(unet.RECIPE, steps=asked.unet_steps)})
    for part in asked.only:
        world.train_part(part)
    if asked.ship:
        torch.backends.mkldnn.conv.fp32_precision = torch.backends.mkldnn.matmul.fp32_precision = "ieee"
        made = [name for name in ASSETS if set(world.recipes_of(name)) & set(asked.only)]
        world.ship(made)
        if "stable_diffusion" in made:
            quality.measure(asked.work)


if __name__ == "__main__":
    main()
