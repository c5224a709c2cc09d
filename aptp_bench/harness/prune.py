"""`aptp_bench.prune`: any method on a network that a user holds, through the contract and the job of a run."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch

from aptp_bench import registry
from aptp_bench.budget import TOLERANCE, Budget, Convention
from aptp_bench.contracts.method import Job, Method
from aptp_bench.core.files import check_writable, sha256_of
from aptp_bench.core.noise import draws_kept
from aptp_bench.core.progress import SilentProgress, reporter
from aptp_bench.core.recipe import World
from aptp_bench.core.settings import SamplingConfig
from aptp_bench.errors import ConfigError, in_python, spoken_in_python
from aptp_bench.generation.sampling import parts_of
from aptp_bench.harness.calibration import Calibration, encoded
from aptp_bench.harness.run import NO_PAIRS
from aptp_bench.harness.teacher import teacher_of
from aptp_bench.models.call_plan import ONE_CALL, PLAIN, ImageCalls
from aptp_bench.models.mixture import Mixture, given_back
from aptp_bench.models.weights import quiet
from aptp_bench.pruning.macs import example_inputs
from aptp_bench.pruning.unets import UNet, text_width, tokens_of
from aptp_bench.training.loop import frozen

DECORATORS = 2  # of prune: frames between it and its caller, whose line a warning is to name


@spoken_in_python()
@draws_kept()
def prune(  # noqa: PLR0913 (what a run has as flags)
    network: Any,
    method: str,
    budget: float,
    calibration: Any = None,
    *,
    macs: Convention = "exact",
    scale: World = "paper",
    seed: int = 0,
    workdir: str | Path | None = None,
    progress: bool = False,
    **options: Any,
) -> UNet | Mixture:
    """A smaller U-Net, or a Mixture where the method makes several or plans their calls. `network` is left as it was.

    network: a diffusers pipeline with a U-Net, or a U-Net alone, for methods that read nothing else; in float32. method: a
    name that `aptp-bench methods` lists; options: its settings by name. budget: share of the dense MACs to keep, counted
    as `macs`: exact, aptp or modules. calibration: what the method learns from, where it learns: (image, caption) pairs,
    images being Pillow's or files; captions alone, if it reads no images; images alone, if the model reads no prompts; a
    dataset with columns image and caption; or the name of one of the scale's datasets. scale: whose presets and datasets:
    paper, mini or smoke. workdir: where a call that was stopped goes on from; None: it starts anew. progress: on stderr.

    The result is in eval mode, frozen and not fine-tuned: `run` prunes, fine-tunes and measures. A result off its budget
    says so in a warning. Raises AptpBenchError.
    """
    _check_asked(method, budget, seed)
    teacher, wanted, kind = teacher_of(network), Budget.of(budget, macs), registry.get("methods", method)
    made: Method = kind(**{**kind.presets.get(scale, {}), **options})
    if made.needs_prompts() and text_width(teacher.unet) is None:
        raise ConfigError(f"{method} goes by what prompts say and this model reads none; choose another method")
    made.check(scale)
    reported = reporter() if progress else SilentProgress()
    with quiet(), frozen(teacher.unet), tempfile.TemporaryDirectory() as name:
        scratch, data = Path(name), Calibration(NO_PAIRS, {})
        if made.uses_data:
            data = encoded(calibration, teacher, scale, reported, scratch / "pairs")
        settings = f"{method} {made.config.model_dump_json()} {wanted} {seed} {scale}"
        work = scratch / "work" if workdir is None else _place(Path(workdir), settings, teacher.unet, scratch)
        work.mkdir(parents=True, exist_ok=True)
        about = (wanted, seed, teacher.unet.device, work, reported, scale)
        mixture = given_back(made.prune(Job(teacher, data.pairs, *about, labels=data.labels)), made.name)
        mixture = mixture.with_experts(
            [expert.eval() for expert in mixture.experts]
        )  # now: the network may change later
        kept = _kept(mixture, teacher, wanted.convention, [] if len(mixture) == 1 else data.pairs.captions)
    if abs(wanted.missed_by(kept)) > TOLERANCE:
        why = f" ({mixture.remark})" if mixture.remark else ""
        said = in_python(f"{method} keeps {kept:.4f} of the {macs} MACs, not {budget:g}{why}")
        warnings.warn(said, stacklevel=2 + DECORATORS)
    return mixture.experts[0] if len(mixture) == 1 and mixture.plan == PLAIN else mixture


def _check_asked(method: Any, budget: Any, seed: Any) -> None:
    """Raise ConfigError for what no command could pass on: flags are texts, arguments may be anything."""
    if not isinstance(method, str):
        raise ConfigError(f"method is a {type(method).__name__}; give a name that `aptp-bench methods` lists")
    if isinstance(budget, bool) or not isinstance(budget, Real):
        raise ConfigError(f"budget is {budget!r}; give the share of the dense MACs to keep as a number, e.g. 0.6")
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise ConfigError(f"seed is {seed!r}; give a whole number")


def _place(workdir: Path, settings: str, unet: UNet, scratch: Path) -> Path:
    """The folder of exactly this call: of these settings, weights and pairs, so that no other's checkpoints are read."""
    check_writable(workdir, "workdir=…")
    whole = hashlib.sha256(settings.encode())
    for name, tensor in unet.state_dict().items():
        whole.update(f"{name}:{tuple(tensor.shape)}".encode())
        whole.update(tensor.cpu().contiguous().numpy().data)
    whole.update(sha256_of(*sorted(path for path in scratch.rglob("*") if path.is_file())).encode())
    return workdir / whole.hexdigest()[:16]


def _kept(mixture: Mixture, teacher: Any, convention: Convention, captions: Sequence[str]) -> float:
    """The mixture's share of the dense MACs. captions: those by which several experts are weighted."""
    inputs = example_inputs(teacher.unet, tokens=tokens_of(teacher))
    calls = ONE_CALL
    if mixture.plan != PLAIN:
        calls = ImageCalls.under(mixture.plan, parts_of(teacher)["scheduler"], SamplingConfig().steps)
    served = torch.bincount(mixture.route(captions), minlength=len(mixture)) if captions else torch.ones(len(mixture))
    costs = torch.tensor([calls.macs(expert, inputs, convention) for expert in mixture.experts], dtype=torch.float64)
    return float((costs * served).sum() / served.sum()) / ONE_CALL.macs(teacher.unet, inputs, convention)
