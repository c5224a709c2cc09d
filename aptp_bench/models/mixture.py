"""What every method returns: experts, and a router that says which expert serves which prompt.

A static method has one expert and the constant router; APTP has N and a learned one. Saving, loading, fine-tuning and
generating speak of a Mixture and know no method.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from pydantic import Field, NonNegativeInt, PositiveInt

from aptp_bench import registry
from aptp_bench.core.documents import Frozen
from aptp_bench.core.files import sha256_of, written_aside
from aptp_bench.core.lazy import OnDemand
from aptp_bench.errors import CheckpointError, ConfigError, PruningError
from aptp_bench.models.call_plan import PLAIN, CallPlan
from aptp_bench.models.checkpoint import AGAIN, document, load_unet, save_unet

INDEX, ROUTER, HISTORY = "mixture.json", "router", "history.jsonl"


class Router(ABC):
    """Sends prompts to experts. `name` is its entry point in the group aptp_bench.routers.

    A router may also tell how it came about: `history`, `balanced` and `load_moved` have defaults for those that cannot.

    history: what each step of the pruning stage reported, in order. A row has "stage" and "step", any number of losses
    by name, and where they are known "ratio" (mean share of the MACs kept), "loads" and "ratios" (lists, one an expert).
    diagnostics: what the method can say of its own routes in numbers, by name; they go into the record.
    """

    name: ClassVar[str]
    history: Sequence[Mapping[str, Any]] = ()
    diagnostics: Mapping[str, float] = {}

    @abstractmethod
    def __call__(self, prompts: Sequence[str]) -> torch.Tensor:
        """prompts: n texts -> expert ids, int64 [n], on the CPU; of each prompt alone, never of its batch."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write all that `load` needs into an existing, empty folder: safetensors and JSON only."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Router:
        """The router saved in `folder`. Raises CheckpointError."""

    @classmethod
    def load_moved(cls, folder: Path, encoder: str) -> Router:
        """The router saved in `folder`, whose prompt encoder now is `encoder`: a folder or a hub id.

        Raises CheckpointError unless that encoder has the weights of its own, ConfigError for a router without any.
        """
        raise ConfigError(f"router '{cls.name}' in {folder} has no prompt encoder; omit --encoder")

    def balanced(self, prompts: Sequence[str]) -> torch.Tensor | None:
        """prompts: n texts, one batch -> the experts that balancing their loads gives, int64 [n], on the CPU.

        None where the method balances no loads. It is how prompts were spread in training, without its noise; serving
        always goes by `__call__`.
        """
        return None


class ConstantRouter(Router):
    """Sends every prompt to the same expert. history: of a search that came to one expert."""

    name = "constant"

    class _State(Frozen):
        expert: NonNegativeInt = 0

    def __init__(self, expert: int = 0, history: Sequence[Mapping[str, Any]] = ()) -> None:
        self.expert, self.history = expert, list(history)

    def __call__(self, prompts: Sequence[str]) -> torch.Tensor:
        """n prompts -> int64 [n], all the same."""
        return torch.full((len(prompts),), self.expert, dtype=torch.long)

    def save(self, folder: Path) -> None:
        """Write constant.json and, where known, history.jsonl."""
        state = self._State(expert=self.expert)
        (folder / "constant.json").write_text(state.model_dump_json() + "\n", encoding="utf-8")
        write_history(folder, self.history)

    @classmethod
    def load(cls, folder: Path) -> ConstantRouter:
        """Read what `save` wrote. Raises CheckpointError."""
        expert = document(folder / "constant.json", cls._State).expert
        try:
            return cls(expert, read_history(folder))
        except ValueError as err:
            raise CheckpointError(f"{folder / HISTORY} is corrupt ({err}); {AGAIN}") from err


def write_history(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a router's history, a line a row; no file where there is none."""
    if rows:
        (folder / HISTORY).write_text("".join(json.dumps(dict(row)) + "\n" for row in rows), encoding="utf-8")


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The rows that `write_history` left in `folder`, none if it left no file. Raises ValueError."""
    path = folder / HISTORY
    return [dict(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


class _Index(Frozen):
    version: Literal[1] = 1
    experts: PositiveInt
    router: str
    remark: str = ""
    plan: CallPlan = PLAIN  # left out where it is plain, as by releases that knew no other
    digests: dict[str, str] = Field(
        default_factory=dict
    )  # of each expert's and the router's files; none in older folders

    def check(self, folder: Path) -> None:
        """Raise CheckpointError unless `folder`, an expert's or the router's, holds what was saved under that name."""
        if self.digests.get(folder.name) not in (None, _digest(folder)):
            raise CheckpointError(f"{folder} is not what was saved there: edited, or moved from elsewhere; {AGAIN}")


class Mixture:
    """Experts, one or more pruned U-Nets of one teacher, and the router over them.

    remark: one line that its reader should know, such as why it lies below its budget; empty where there is nothing.
    plan: how the U-Net calls of an image are made; as the sampler has it unless given.
    """

    def __init__(
        self, experts: Sequence[UNet2DConditionModel], router: Router, remark: str = "", plan: CallPlan = PLAIN
    ) -> None:
        if len(experts) == 0:
            raise PruningError("a mixture needs an expert; for one network use Mixture.of_one(unet)")
        self.experts = experts
        self.router = router
        self.remark = remark
        self.plan = plan

    @classmethod
    def of_one(cls, unet: UNet2DConditionModel, remark: str = "", plan: CallPlan = PLAIN) -> Mixture:
        """One network that serves every prompt."""
        return cls([unet], ConstantRouter(), remark, plan)

    def __len__(self) -> int:
        """Number of experts."""
        return len(self.experts)

    def with_experts(self, experts: Sequence[UNet2DConditionModel]) -> Mixture:
        """The same router and plan over other networks, as many (e.g. after fine-tuning). Raises PruningError if not as many."""
        if len(experts) != len(self):
            raise PruningError(f"{len(experts)} networks for a router over {len(self)}; give one for each expert")
        return Mixture(experts, self.router, self.remark, self.plan)

    def route(self, prompts: Sequence[str]) -> torch.Tensor:
        """prompts: n texts -> expert ids, int64 [n], each in [0, len(self)). Raises PruningError if one is not."""
        ids = self.router(prompts)
        if ids.shape != (len(prompts),) or (len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < len(self)):
            raise PruningError(f"router '{self.router.name}' is not over these {len(self)} experts; load both together")
        return ids

    def save(self, folder: Path) -> None:
        """Write the mixture to `folder`, which appears whole or not at all, an expert at a time. Raises CheckpointError."""
        with written_aside(Path(folder), marker=INDEX, ours="expert-*") as aside:
            for i in range(len(self)):
                save_unet(self.experts[i], aside / _expert(i))
            (aside / ROUTER).mkdir()
            self.router.save(aside / ROUTER)
            digests = {part.name: _digest(part) for part in sorted(aside.iterdir())}
            index = _Index(
                experts=len(self), router=self.router.name, remark=self.remark, plan=self.plan, digests=digests
            )
            written = index.model_dump_json(exclude={"plan"} if self.plan == PLAIN else None)
            (aside / INDEX).write_text(written + "\n", encoding="utf-8")

    @classmethod
    def load(
        cls,
        folder: Path,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        lazy: bool = False,
        held: int = 1,
    ) -> Mixture:
        """The mixture saved in `folder`. lazy: an expert is read when asked for; only the last `held` stay in memory.

        device "meta": of the experts' weights only the shapes are read.

        Raises CheckpointError if a file is missing or corrupt, UnknownNameError for a router that nothing provides.
        """
        folder = Path(folder)
        index = document(folder / INDEX, _Index)
        router = saved_router(folder)
        experts = saved_experts(folder, device, dtype, held)
        return cls(experts if lazy else list(experts), router, index.remark, index.plan)


def saved_router(folder: Path, encoder: str | None = None) -> Router:
    """The router of the mixture saved in `folder`, without its networks. encoder: where its prompt encoder lies now.

    Raises CheckpointError, UnknownNameError for a router that nothing provides, ConfigError (see Router.load_moved).
    """
    index = document(folder / INDEX, _Index)
    kind: type[Router] = registry.get("routers", index.router)
    index.check(folder / ROUTER)
    return kind.load(folder / ROUTER) if encoder is None else kind.load_moved(folder / ROUTER, encoder)


def saved_size(folder: Path) -> int:
    """How many experts the mixture saved in `folder` has. Raises CheckpointError."""
    return len(_folders(folder, document(folder / INDEX, _Index)))


def saved_plan(folder: Path) -> CallPlan:
    """How the mixture saved in `folder` makes its calls. Raises CheckpointError."""
    return document(folder / INDEX, _Index).plan


def saved_experts(
    folder: Path, device: torch.device | str, dtype: torch.dtype | None, held: int = 1
) -> OnDemand[UNet2DConditionModel]:
    """The experts of the mixture saved in `folder`, read when asked for, the last `held` in memory.

    Raises CheckpointError at once if one has no folder, and when it is read if it is another one or not finite. On "meta", where
    weights are not read, their digests are not looked at either.
    """
    index = document(folder / INDEX, _Index)
    folders = _folders(folder, index)

    def read(i: int) -> UNet2DConditionModel:
        if torch.device(device).type != "meta":
            index.check(folders[i])
        return load_unet(folders[i], device, dtype)

    return OnDemand(read, len(folders), held)


def part_digest(folder: Path) -> str:
    """What the index of a mixture, or of a pipeline around it, keeps of a part's folder: a digest of its files."""
    return _digest(folder)


def given_back(made: Any, method: str) -> Mixture:
    """What a method's `prune` gave back, if it is a mixture. Raises PruningError with what to return instead."""
    if not isinstance(made, Mixture):
        fix = "return Mixture.of_one(unet), or Mixture(unets, router)"
        raise PruningError(f"{method}.prune gave back a {type(made).__name__}; {fix}")
    if not isinstance(made.router, Router):
        what = f"{method}.prune gave back a mixture whose router is a {type(made.router).__name__}"
        raise PruningError(f"{what}; give Mixture a Router over its experts")
    return made


def _folders(folder: Path, index: _Index) -> list[Path]:
    """Those of the experts. Raises CheckpointError for the first that is missing: an edited index may name any number."""
    found = []
    for i in range(index.experts):
        found.append(folder / _expert(i))
        if not found[-1].is_dir():
            raise CheckpointError(f"{found[-1]} is missing; {AGAIN}")
    return found


def _digest(folder: Path) -> str:
    """Of its files but the hidden ones, which file managers leave wherever they look (.DS_Store)."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sha256_of(*sorted(path for path in files if not re.search(r"(^|/)\.", path.relative_to(folder).as_posix())))


def _expert(i: int) -> str:
    return f"expert-{i:02d}"
