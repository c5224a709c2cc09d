"""Saving and loading a pruned U-Net, whatever cut it: config.json + pruning.json + model.safetensors.

config.json describes the dense skeleton; pruning.json names what was substituted and the units that weights do not
tell (heads, groups); every other width is read off the stored tensors. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from pydantic import BaseModel, PositiveInt, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from aptp_bench.core.documents import Frozen, first_problem
from aptp_bench.core.files import written_aside
from aptp_bench.errors import CheckpointError, PruningError
from aptp_bench.pruning.substitutes import SUBSTITUTES, Substitute, name_of
from aptp_bench.pruning.surgery import check_plain, fix_attributes_, substitute_
from aptp_bench.pruning.unets import KINDS

CONFIG, PRUNING, WEIGHTS = "config.json", "pruning.json", "model.safetensors"
AGAIN = "save the network again, or download it again"

_Shaped = (nn.Conv2d, nn.Linear, nn.GroupNorm, nn.LayerNorm)
_T = TypeVar("_T")
_Document = TypeVar("_Document", bound=BaseModel)


class Substituted(Frozen):
    """What stands at a path: a key of SUBSTITUTES, and the settings that it is made with."""

    name: str
    settings: dict[str, int | bool | None] = {}


class Pruning(Frozen):
    """What pruning.json says: module path -> what stands there, how many heads or groups it has."""

    version: Literal[1] = 1
    substitutes: dict[str, Substituted]
    heads: dict[str, PositiveInt]
    groups: dict[str, PositiveInt]

    @classmethod
    def of(cls, unet: UNet2DConditionModel) -> Pruning:
        """Compare a network with the dense skeleton of its config. Raises CheckpointError for an unknown substitute."""
        modules = dict(unet.named_modules())
        return cls(
            substitutes=dict(_substituted(unet, skeleton(config_of(unet)))),
            heads={path: m.heads for path, m in modules.items() if isinstance(m, Attention)},
            groups={path: m.num_groups for path, m in modules.items() if isinstance(m, nn.GroupNorm)},
        )


def save_unet(unet: UNet2DConditionModel, folder: Path) -> None:
    """Write `unet` to `folder`, which appears whole or not at all and replaces an older checkpoint there.

    Raises CheckpointError if the network holds a module that no file can name, or if the folder holds other things,
    PruningError as surgery.check_plain does.
    """
    check_plain(unet)
    for name, tensor in unet.state_dict().items():
        if tensor.is_meta or not tensor.isfinite().all():
            why = "has no weights yet, it lies on the meta device" if tensor.is_meta else f"is not finite in {name}"
            raise CheckpointError(f"the network {why}, and no such file is read again; load its weights first")
    pruning = Pruning.of(unet)
    with written_aside(Path(folder), marker=PRUNING, ours="*.index.json") as aside:
        (aside / CONFIG).write_text(json.dumps(config_of(unet), indent=2, sort_keys=True) + "\n", encoding="utf-8")
        (aside / PRUNING).write_text(pruning.model_dump_json(indent=2) + "\n", encoding="utf-8")
        tensors = {name: tensor.detach().contiguous() for name, tensor in unet.state_dict().items()}
        save_file(tensors, aside / WEIGHTS, metadata={"format": "pt"})


def load_unet(
    folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> UNet2DConditionModel:
    """The network saved in `folder`, in eval mode; dtype: as stored if None. device "meta": its weights are not read.

    Raises CheckpointError, one line with the path and what to do, if anything is missing, corrupt or does not fit.
    """
    folder = Path(folder)
    config = json_document(folder / CONFIG)
    pruning = document(folder / PRUNING, Pruning)
    tensors = stored(folder / WEIGHTS, device)
    if dtype is not None:
        tensors = {name: t.to(dtype) if t.is_floating_point() else t for name, t in tensors.items()}
    return rebuilt(config, pruning, lambda _: tensors, str(folder))


def rebuilt(
    config: dict[str, Any], pruning: Pruning, tensors: Callable[[dict[str, Tensor]], dict[str, Tensor]], name: str
) -> UNet2DConditionModel:
    """The network of these parts, in eval mode. tensors: those of the dressed skeleton, on meta -> its own.

    Raises CheckpointError, in which it is called `name`, if the parts do not fit each other.
    """
    try:
        unet: Any = skeleton(config)
        _dress_(unet, pruning)
        _fill_(unet, tensors(unet.state_dict()))
        fix_attributes_(unet)
    except (CheckpointError, PruningError, AttributeError, KeyError, TypeError, ValueError) as err:
        raise CheckpointError(f"{name} is not a network that can be rebuilt ({first_problem(err)}); {AGAIN}") from err
    return unet.eval()


def stored(path: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The tensors of a safetensors file by name; on "meta" their shapes alone. Raises CheckpointError, also if one is not finite."""
    if torch.device(device).type == "meta":
        return _read(path, lambda: _shapes(path))
    tensors = _read(path, lambda: _aligned(load_file(path, device=str(device))))
    if bad := next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None):
        raise CheckpointError(f"{path} holds numbers that are not finite, first in {bad}; {AGAIN}")
    return tensors


def json_document(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises CheckpointError."""
    return _read(path, lambda: dict(json.loads(path.read_text(encoding="utf-8"))))


def document(path: Path, schema: type[_Document]) -> _Document:
    """A JSON file as an object of a pydantic schema. Raises CheckpointError."""
    return _read(path, lambda: schema.model_validate_json(path.read_text(encoding="utf-8")))


def _read(path: Path, reader: Callable[[], _T]) -> _T:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; {AGAIN}")
    try:
        return reader()
    except (OSError, ValueError, TypeError, RecursionError, ValidationError, SafetensorError) as err:
        raise CheckpointError(f"{path} is corrupt ({first_problem(err)}); {AGAIN}") from err


def _aligned(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same in memory of torch's own: a file's lie at any byte, and some processors' kernels round by where numbers lie."""
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _shapes(path: Path) -> dict[str, Tensor]:
    """The tensors of a file on the meta device, read off its header; in the type that torch makes by default."""
    with safe_open(path, "pt") as stored:
        return {name: torch.empty(stored.get_slice(name).get_shape(), device="meta") for name in stored.keys()}  # noqa: SIM118


def config_of(unet: UNet2DConditionModel) -> dict[str, Any]:
    """A network's configuration without private entries, such as the local folder it once came from."""
    public = json.loads(unet.to_json_string())
    return {name: value for name, value in public.items() if name == "_class_name" or not name.startswith("_")}


def skeleton(config: dict[str, Any]) -> UNet2DConditionModel:
    """The dense network of a configuration, on the meta device."""
    kind = KINDS.get(config.get("_class_name", "UNet2DConditionModel"))
    if kind is None:
        raise CheckpointError(f"the config is of a {config['_class_name']}; known are {' and '.join(KINDS)}")
    with torch.device("meta"):
        return kind.from_config(config)


def _substituted(net: nn.Module, dense: nn.Module, path: str = "") -> Iterator[tuple[str, Substituted]]:
    """Walk two networks side by side and yield where they differ in kind."""
    children = dict(net.named_children())
    for name, there in dense.named_children():
        here, at = children.pop(name, None), f"{path}.{name}".lstrip(".")
        if isinstance(here, Substitute) and name_of(here) is not None:
            yield at, Substituted(name=str(name_of(here)), settings=here.settings)
        elif type(here) is type(there):
            yield from _substituted(here, there, at)
        else:
            raise CheckpointError(_cannot_name(at, here))
    if children:
        raise CheckpointError(_cannot_name(f"{path}.{next(iter(children))}".lstrip("."), next(iter(children.values()))))


def _cannot_name(path: str, module: nn.Module | None) -> str:
    return f"'{path}' holds a {type(module).__name__} that no file can name; use one of: {', '.join(SUBSTITUTES)}"


def _dress_(unet: Any, pruning: Pruning) -> None:
    """Put substitutes, heads and groups into the skeleton."""
    for path, entry in pruning.substitutes.items():
        if entry.name not in SUBSTITUTES:
            raise CheckpointError(f"unknown substitute '{entry.name}' at '{path}'; known: {', '.join(SUBSTITUTES)}")
        with torch.device("meta"):
            substitute_(unet, path, SUBSTITUTES[entry.name](**entry.settings))
    for path, heads in pruning.heads.items():
        unet.get_submodule(path).heads = heads
    for path, groups in pruning.groups.items():
        unet.get_submodule(path).num_groups = groups


def _fill_(unet: UNet2DConditionModel, tensors: dict[str, Tensor]) -> None:
    """Give every parameter and buffer its stored tensor; only convolutions, linear layers and norms may be reshaped."""
    wanted = unet.state_dict()
    if odd := sorted(wanted.keys() ^ tensors.keys()):
        raise CheckpointError(f"'{odd[0]}' is {'missing' if odd[0] in wanted else 'unexpected'} in {WEIGHTS}")
    for name, tensor in tensors.items():
        path, _, leaf = name.rpartition(".")
        module = unet.get_submodule(path)
        fits = tensor.shape == wanted[name].shape or (isinstance(module, _Shaped) and tensor.ndim == wanted[name].ndim)
        if not fits:
            raise CheckpointError(f"'{name}' has shape {tuple(tensor.shape)}, not {tuple(wanted[name].shape)}")
        setattr(module, leaf, nn.Parameter(tensor) if leaf in module._parameters else tensor)
