"""The job `serving`: a mixed stream of prompts over the experts of APTP 0.64, against one network of equal MACs.

The network is the expert whose MACs are nearest to the stream's mean, so that both are of one kind of width. Weights
are random, the router is APTP's with the embedded encoder and untrained codes: both decide no time but by the loads,
which are printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from aptp_bench.benchmarks.slot import job
from aptp_bench.benchmarks.slot.job import Facts, Ledger, show_rows
from aptp_bench.benchmarks.slot.speed import TABLE
from aptp_bench.core.slot import Piece
from aptp_bench.data.scenes.prompts import prompts as scene_prompts
from aptp_bench.methods.aptp.encoder import EMBEDDED, PromptEncoder
from aptp_bench.methods.aptp.gumbel import Relaxation
from aptp_bench.methods.aptp.predictor import Architect
from aptp_bench.methods.aptp.router import CosineRouter
from aptp_bench.methods.aptp.routing import Routing
from aptp_bench.methods.aptp.transport import Similarity
from aptp_bench.models.family import RANDOM
from aptp_bench.models.mixture import Mixture
from aptp_bench.profiling import targets
from aptp_bench.profiling.manifest import Manifest, filename
from aptp_bench.profiling.speed import ratio
from aptp_bench.profiling.speed_suite import Campaign
from aptp_bench.profiling.timing import Call, alternately, resampled_medians
from aptp_bench.pruning.gates import GateSpace
from aptp_bench.pruning.macs import count, example_inputs
from aptp_bench.serving.pipeline import RoutedPipeline

STREAM, BATCHES, REPEATS = 64, (16, 4, 1), 3
ROW = "APTP 0.64"


class Job(job.Job):
    """Facts under `out`/serving, a file a batch size."""

    def __init__(self, place: job.Place) -> None:
        super().__init__(place)
        self.ledger = Ledger(place.out / "serving" / ("smallest" if place.smallest else "sd21"))
        self.batches = (2,) if place.smallest else BATCHES
        self.prompts = [each.prompt for each in scene_prompts()][: 3 if place.smallest else STREAM]
        whole = Manifest.load(Path(str(Campaign.load(TABLE).architectures)) / filename(ROW))
        self.experts = whole.experts[: 2 if place.smallest else None]

    def pieces(self) -> Sequence[Piece]:
        """The stream at one batch size each."""
        return [self.ledger.piece(f"batch {n}", "stream", 160.0, partial(self._stream, n)) for n in self.batches]

    def show(self) -> None:
        """Images per second, and the routed stream over the static one."""
        rows = [
            [
                row["piece"],
                f"{row['routed']:.3f}",
                f"{row['static']:.3f}",
                f"{row['ratio'][0]:.3f} [{row['ratio'][1]:.3f}, {row['ratio'][2]:.3f}]",
                f"{row['static_macs'] / row['routed_macs']:.3f}",
                str(row["loads"]),
            ]
            for row in self.ledger.rows()
        ]
        columns = [
            "at most together",
            "routed, images/s",
            "static, images/s",
            "of static",
            "its MACs, of the mean",
            "loads",
        ]
        show_rows(f"serving {ROW} of sd21 on {self.place.device}", columns, rows)

    @cached_property
    def dtype(self) -> torch.dtype:
        """bfloat16 on a GPU."""
        return torch.bfloat16 if self.place.device.type == "cuda" else torch.float32

    @cached_property
    def teacher(self) -> Any:
        """The parts around the experts, with random weights."""
        with self.place.device:
            return targets.model("sd21").load(RANDOM).to(self.place.device, self.dtype)

    @cached_property
    def mixture(self) -> Mixture:
        """The experts on the device and a router over them."""
        made = [each.drawn(self.place.device, i).to(self.dtype) for i, each in enumerate(self.experts)]
        space, encoder = GateSpace.of(self.teacher.unet), PromptEncoder(EMBEDDED)
        z, generator = encoder(self.prompts), torch.Generator().manual_seed(0)
        architect = Architect(z.shape[1], space.size, len(made), generator)
        architect.begin_codes("predicted", z, generator)
        routing = Routing(architect.requires_grad_(False), Relaxation(space), Similarity.of(space))
        return Mixture(made, CosineRouter(encoder, routing))

    def _stream(self, together: int) -> Facts:
        routes = self.mixture.route(self.prompts)
        macs = [count(each.build(), example_inputs(each.build()), "exact").total for each in self.experts]
        mean = sum(macs[i] for i in routes.tolist()) / len(routes)
        nearest = min(range(len(macs)), key=lambda i: abs(macs[i] - mean))
        mixtures = {"routed": self.mixture, "static": Mixture.of_one(self.mixture.experts[nearest])}
        pipelines = {name: RoutedPipeline.of(self.teacher, mixture) for name, mixture in mixtures.items()}
        for each in pipelines.values():
            each.set_progress_bar_config(disable=True)
        sizes = {"num_inference_steps": 2, "height": 64, "width": 64} if self.place.smallest else {}
        repeats = 1 if self.place.smallest else REPEATS
        how = {"batch_size": together, "output_type": "pt", "exact": False, **sizes}
        calls = {name: _serving(each, self.prompts, how) for name, each in pipelines.items()}
        times = alternately(calls, self.place.device, 1, repeats)
        generator = torch.Generator().manual_seed(0)
        static, routed = (resampled_medians(times[name], 1000, generator) for name in ("static", "routed"))
        of = ratio(static, routed)  # seconds, so that more is better
        return {
            **{name: len(self.prompts) / float(each.median()) for name, each in times.items()},
            "ratio": [of.value, *of.interval],
            "routed_macs": mean,
            "static_macs": macs[nearest],
            "loads": torch.bincount(routes, minlength=len(macs)).tolist(),
        }


def _serving(pipeline: Any, prompts: Sequence[str], how: dict[str, Any]) -> Call:
    return lambda: pipeline(prompts, **how)
