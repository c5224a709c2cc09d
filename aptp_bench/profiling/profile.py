"""One profile: what a mixture's networks cost on paper, by block, in memory, as a prediction, and measured if asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from aptp_bench.budget import CONVENTIONS, Convention
from aptp_bench.contracts.model import ModelPlugin
from aptp_bench.core.provenance import device_name, provenance
from aptp_bench.errors import CountError
from aptp_bench.models.call_plan import ONE_CALL, ImageCalls
from aptp_bench.models.operations import Trace, trace, trace_unet
from aptp_bench.profiling import devices, speed
from aptp_bench.profiling.alignment import all_widths, changed_widths, histogram
from aptp_bench.profiling.breakdown import Block, breakdown
from aptp_bench.profiling.records import Network, Predicted, SpeedRecord, Timing
from aptp_bench.profiling.roofline import BYTES, bound_by_memory, predicted_seconds
from aptp_bench.profiling.setups import clocks
from aptp_bench.profiling.speed import Protocol, Ready
from aptp_bench.profiling.targets import DENSE, Subject
from aptp_bench.profiling.timing import conditions
from aptp_bench.pruning.cost import Cost
from aptp_bench.pruning.gates import GateSpace
from aptp_bench.pruning.macs import example_inputs, parameters
from aptp_bench.pruning.surgery import meta_clone

if TYPE_CHECKING:
    from aptp_bench.models.mixture import Mixture

GUIDED = 2  # samples of a call under guidance
CALLS = 26  # of 25 PNDM steps (papers' protocol)
DTYPES: tuple[devices.Dtype, ...] = ("float32", "bfloat16")


@dataclass(frozen=True)
class Profiler:
    """A subject beside its dense model at one size. latent: height = width of the latents."""

    kind: ModelPlugin
    subject: Subject
    latent: int

    @cached_property
    def skeleton(self) -> Any:
        """The dense U-Net, without weights."""
        return self.kind.skeleton()

    @cached_property
    def dense_trace(self) -> Trace:
        """Operations of the dense U-Net."""
        return trace_unet(self.skeleton, self.inputs(self.skeleton))

    @cached_property
    def experts(self) -> list[Any]:
        """The experts without their weights: eight of them do not fit memory."""
        return [meta_clone(self.subject.mixture.experts[i]) for i in range(len(self.subject.mixture))]

    @cached_property
    def traces(self) -> list[Trace]:
        """Operations of every expert."""
        if self.subject.method == DENSE:
            return [self.dense_trace]
        return [trace_unet(expert, self.inputs(expert)) for expert in self.experts]

    @cached_property
    def reusing_traces(self) -> list[Trace]:
        """Operations of every expert in a call that reuses features; none where the mixture has no such calls."""
        branch = self.subject.mixture.plan.branch
        if branch is None:
            return []
        return [trace_unet(expert, self.inputs(expert), branch) for expert in self.experts]

    @cached_property
    def calls(self) -> ImageCalls:
        """The U-Net calls of an image."""
        plan = self.subject.mixture.plan
        return ImageCalls.of(plan, CALLS, max(1, CALLS * plan.made // plan.of))

    @cached_property
    def decoder_trace(self) -> Trace | None:
        """Operations of the image decoder; None for a model that does not say its geometry."""
        geometry = getattr(self.kind, "geometry", None)
        if geometry is None:
            return None
        with torch.device("meta"):
            vae = geometry.build_vae()
        latents = torch.empty(1, vae.config.latent_channels, self.latent, self.latent, device="meta")
        return trace(vae, lambda network: network.decode(latents))

    def inputs(self, unet: Any) -> dict[str, torch.Tensor]:
        """One sample of a U-Net's inputs, on the meta device."""
        return example_inputs(unet, self.latent, self.kind.tokens)

    def gates(self) -> dict[str, Any]:
        """What there is to prune in the dense U-Net: gates, and the vectors that width gates come in."""
        space = GateSpace.of(self.skeleton)
        sizes = {"gates": space.size, "gates_width": space.width_size, "gates_depth": len(space.depths)}
        return {**sizes, "gate_vectors": len(space.widths), "gates_by_kind": space.counts()}

    def prunable(self) -> dict[Convention, int | None]:
        """MACs of the layers of the dense U-Net that width gates touch, by convention."""
        space = GateSpace.of(self.skeleton)
        return {name: self._prunable(space, name) for name in CONVENTIONS}

    def tree(self, expert: int = 0) -> Block:
        """MACs and parameters of one expert, block by block."""
        return breakdown(self.experts[expert], self.inputs(self.experts[expert]))

    def dense_tree(self) -> Block:
        """The same of the dense U-Net."""
        return breakdown(self.skeleton, self.inputs(self.skeleton))

    def networks(self) -> tuple[Network, list[Network]]:
        """The dense U-Net and every expert on paper."""
        whole = self._network(self.skeleton, self.dense_trace, 1.0, ONE_CALL)
        each = zip(self.experts, self.traces, self.subject.share.tolist(), strict=True)
        return whole, [self._network(*expert, self.calls) for expert in each]

    def predicted(self, names: Sequence[str], dtypes: Sequence[devices.Dtype] = DTYPES) -> list[Predicted]:
        """Roofline bounds on devices of the table (or "here"), an entry a type. Raises ConfigError for an unknown one."""
        return [self._predicted(devices.named(name), dtype) for name in names for dtype in dtypes]

    def record(
        self, predicted: list[Predicted], timings: list[Timing], command: str, device: torch.device
    ) -> SpeedRecord:
        """The document of this profile."""
        whole, experts = self.networks()
        subject = self.subject
        return SpeedRecord(
            label=subject.label,
            model=self.kind.name,
            world=self.kind.world,
            resolution=self.latent * self.kind.resolution // self.kind.latent_size,
            latent=self.latent,
            tokens=self.kind.tokens,
            method=subject.method,
            method_config=subject.settings,
            budget=subject.budget.model_dump() if subject.budget else None,
            geometry=subject.geometry,
            remark=subject.mixture.remark,
            dense=whole,
            experts=experts,
            macs_ratio={name: _mean_ratio(whole, experts, name) for name in CONVENTIONS},
            predicted=predicted,
            timings=timings,
            how=provenance(command, device, {}, {}),
        )

    def measured(self, ready: Ready, protocol: Protocol, mixture: Mixture | None = None) -> Timing:
        """One way of running, timed beside the dense network, with the bound for this device beside it.

        mixture: the subject's networks with weights, where the subject itself is on the meta device.
        """
        subject, setup, device = self.subject, ready.setup, protocol.device
        found = speed.measure(mixture or subject.mixture, subject.share, ready, protocol)
        call, dense_call = found.times.per_call(subject.share)
        bound = here(device)
        facts: dict[str, Any] = {}
        if protocol.images:
            image, dense_image = found.times.per_image(subject.share, setup.batch)
            facts["image"] = speed.spread(image, found.times.image / setup.batch)
            facts["image_ratio"], facts["dense_image_s"] = speed.ratio(image, dense_image), float(dense_image[0])
            facts["unet_calls"] = found.times.calls_per_image
            facts["predicted_image_s"] = bound and self._image(bound, setup.dtype, setup.batch) / setup.batch
        busiest = found.times.calls[found.times.busiest]
        return Timing(
            setup=setup,
            call=speed.spread(call, busiest),
            call_ratio=speed.ratio(call, dense_call),
            dense_call_s=float(dense_call[0]),
            predicted_call_s=bound and self.call_seconds(bound, setup.dtype, setup.batch),
            peak_bytes=found.peak_bytes,
            dense_peak_bytes=found.dense_peak_bytes,
            host_call_s=found.host_call_s,
            first_call_s=found.first_call_s,
            attention=found.attention,
            conditions=conditions(device, setup.torch_dtype) | {"clocks": clocks(device)},
            **facts,
        )

    def call_seconds(self, device: devices.Device, dtype: devices.Dtype, batch: int) -> float:
        """A roofline bound of a guided call for a batch of images, experts weighted by their shares; mean over an image's."""
        how = (self.subject.share.tolist(), device, dtype, GUIDED * batch)
        full = _seconds(self.traces, *how)
        if not self.reusing_traces:
            return full
        reusing = self.calls.made - self.calls.full
        return (self.calls.full * full + reusing * _seconds(self.reusing_traces, *how)) / self.calls.made

    def dense_seconds(self, device: devices.Device, dtype: devices.Dtype, batch: int) -> float:
        """The same of the dense network."""
        return predicted_seconds(self.dense_trace.operations, device, dtype, GUIDED * batch)

    def _network(self, unet: Any, traced: Trace, share: float, calls: ImageCalls) -> Network:
        sizes = {dtype: BYTES[dtype] for dtype in DTYPES}
        return Network(
            share=share,
            macs={name: self._count(unet, name, calls) for name in CONVENTIONS},
            macs_by_kind={**traced.macs()},
            parameters=parameters(unet),
            weights_bytes={dtype: traced.weights * size for dtype, size in sizes.items()},
            activation_bytes={dtype: traced.peak_activations * size for dtype, size in sizes.items()},
            histogram=_text(histogram(all_widths(unet))),
            changed_histogram=_text(histogram(changed_widths(unet, self.skeleton))),
        )

    def _prunable(self, space: GateSpace, convention: Any) -> int | None:
        try:
            return Cost.of(self.skeleton, space, self.inputs(self.skeleton), convention).prunable
        except CountError:
            return None

    def _count(self, unet: Any, convention: Any, calls: ImageCalls) -> int | None:
        try:
            return calls.macs(unet, self.inputs(unet), convention)
        except CountError:
            return None

    def _predicted(self, device: devices.Device, dtype: devices.Dtype) -> Predicted:
        return Predicted(
            device=device.title,
            source=device.source,
            dtype=dtype,
            call_s=self.call_seconds(device, dtype, 1),
            image_s=self._image(device, dtype, 1),
            dense_call_s=self.dense_seconds(device, dtype, 1),
            dense_image_s=CALLS * self.dense_seconds(device, dtype, 1) + self._decoding(device, dtype, 1),
            memory_bound=bound_by_memory(
                self.traces[int(self.subject.share.argmax())].operations, device, dtype, GUIDED
            ),
        )

    def _image(self, device: devices.Device, dtype: devices.Dtype, batch: int) -> float:
        return self.calls.made * self.call_seconds(device, dtype, batch) + self._decoding(device, dtype, batch)

    def _decoding(self, device: devices.Device, dtype: devices.Dtype, batch: int) -> float:
        return predicted_seconds(self.decoder_trace.operations, device, dtype, batch) if self.decoder_trace else 0.0


def here(device: torch.device) -> devices.Device | None:
    """Facts of the device that is measured on; None for a GPU that the table does not know."""
    return devices.processor() if device.type == "cpu" else devices.matching(device_name(device))


def _seconds(
    traces: Sequence[Trace], share: Sequence[float], device: devices.Device, dtype: devices.Dtype, samples: int
) -> float:
    each = (predicted_seconds(traced.operations, device, dtype, samples) for traced in traces)
    return sum(part * seconds for part, seconds in zip(share, each, strict=True))


def _mean_ratio(whole: Network, experts: Sequence[Network], convention: Any) -> float | None:
    counts = [expert.macs[convention] for expert in experts]
    dense = whole.macs[convention]
    known = [(c, expert.share) for c, expert in zip(counts, experts, strict=True) if c is not None]
    return sum(c * share for c, share in known) / dense if dense and len(known) == len(experts) else None


def _text(counts: dict[int, int]) -> dict[str, int]:
    return {str(power): n for power, n in counts.items()}
