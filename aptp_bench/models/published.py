"""A U-Net that was pruned elsewhere, whatever wrote its folder; read from JSON and safetensors, nothing is unpickled.

Three layouts: ours (pruning.json); diffusers', whose config.json says which blocks and layers there are, as BK-SDM's and
other small Stable Diffusions have it; and that of the APTP authors' experts. Each lies in the folder itself, or in unet/ of it.
The authors' arch_vector.pt is a pickle and is not opened: which gates are open can be told from the tensors' shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor

from aptp_bench.errors import CheckpointError
from aptp_bench.models import weights as sources
from aptp_bench.models.checkpoint import (
    AGAIN,
    CONFIG,
    PRUNING,
    Pruning,
    Substituted,
    json_document,
    load_unet,
    rebuilt,
    stored,
)  # fmt: skip
from aptp_bench.models.checkpoint import WEIGHTS as OURS
from aptp_bench.models.mixture import INDEX
from aptp_bench.pruning.gates import GateSpace, Width
from aptp_bench.pruning.macs import example_inputs
from aptp_bench.pruning.substitutes import SkipResnet, SkipTransformer, Substitute, name_of
from aptp_bench.pruning.surgery import meta_clone
from aptp_bench.pruning.unets import UNet, text_width

UNET, NAME = "unet", "diffusion_pytorch_model"
WEIGHTS = f"{NAME}.safetensors"
SHARDS = f"{WEIGHTS}.index.json"
VARIANT = re.compile(rf"{NAME}\.(?P<own>\w+)\.safetensors|{WEIGHTS}\.index\.(?P<split>\w+)\.json")  # such as fp16
FILES = (CONFIG, PRUNING, "*model*.safetensors", f"{WEIGHTS}.index*.json")  # of a repository, and of unet/ in it
ASKED = (
    *("sample_size", "in_channels", "out_channels", "encoder_hid_dim", "cross_attention_dim", "time_cond_proj_dim"),
    *("addition_embed_type", "class_embed_type", "num_class_embeds"),
)
"""Settings that say how a U-Net is called and what it answers."""
AUTHORS = re.compile(r"(Width|Half|Depth)*(Gated|Pruned)$")  # how names of the APTP authors' classes end
BLOCKS = ("_class_name", "down_block_types", "mid_block_type", "up_block_types")
OURS_ALONE = ("gated_ff", "ff_gate_width")  # settings that only the authors' classes have


def find(source: str, subfolder: str = "") -> Path:
    """The folder that holds the U-Net. source: a folder, or a hub id, which is fetched. Raises WeightsError."""
    inside = f"{subfolder.strip('/')}/" if subfolder else ""
    files = [f"{inside}{place}{name}" for place in ("", f"{UNET}/") for name in FILES]
    root = sources.find("checkpoint", source, (), files) / inside
    if (root / INDEX).is_file():
        raise CheckpointError(f"{root} holds a mixture; give the folder of one of its experts, e.g. {root}/expert-00")
    folder = root / UNET if (root / UNET / CONFIG).is_file() else root
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{root} holds no U-Net: there is no {CONFIG} in it nor in {UNET}/; give its folder")
    return folder


def read(folder: Path, device: torch.device | str = "cpu") -> UNet:
    """The U-Net in a folder that `find` gave, float32, eval mode. device "meta": its weights are not read.

    Raises CheckpointError, one line with the path and what does not fit.
    """
    if (folder / PRUNING).is_file():
        return load_unet(folder, device, torch.float32)
    config = json_document(folder / CONFIG)
    tensors = {name: tensor.float() for file in _files(folder) for name, tensor in stored(file, device).items()}
    plain = _without_gates(config)
    with sources.quiet():  # diffusers' advice on settings that it does not know
        dense = rebuilt(plain, _nothing(), lambda own: own, str(folder))
        pruning = _nothing() if plain == config else _of_shapes(dense, tensors, folder)
        if plain == config:
            _check_shapes(dense, tensors, folder)
        return rebuilt(plain, pruning, lambda _: tensors, str(folder))


def check_fits(unet: Any, teacher: Any, source: object) -> None:
    """Raise CheckpointError unless a U-Net, read from `source`, can stand in for the teacher's: same latents, same text."""
    said = f"{source} does not fit the model"
    for key in ASKED:
        here, there = (_several(network.config.get(key)) for network in (unet, teacher))
        if here != there:
            raise CheckpointError(
                f"{said}: {key} of its config is {_shown(here)}, not {_shown(there)}; use its --model"
            )
    wanted = text_width(teacher)
    for path, module in unet.named_modules():
        if isinstance(module, Attention) and module.is_cross_attention and module.to_k.weight.shape[1] != wanted:
            width = module.to_k.weight.shape[1]
            raise CheckpointError(f"{said}: {path}.to_k reads a text of width {width}, not {wanted}; use its --model")
    ends = (unet.conv_in.weight.shape[1], unet.conv_out.weight.shape[0])
    for name, here, key in zip(("conv_in", "conv_out"), ends, ("in_channels", "out_channels"), strict=True):
        if here != teacher.config[key]:
            raise CheckpointError(f"{said}: {name} has {here} channels, not {teacher.config[key]}; use its --model")
    _check_passes(unet, said)


def _check_passes(unet: Any, said: str) -> None:
    """Raise CheckpointError where a layer does not take what the one before it gives. No weight is read for that."""
    twin, entered = meta_clone(unet), [""]
    for path, module in twin.named_modules():
        weight, bias = (getattr(module, name, None) for name in ("weight", "bias"))
        if (
            weight is not None and bias is not None and len(weight) != len(bias)
        ):  # what a convolution without numbers ignores
            raise CheckpointError(f"{said}: {path} has {len(weight)} rows and {len(bias)} numbers of bias; {AGAIN}")
        module.register_forward_pre_hook(lambda *_, path=path: entered.append(path))
    inputs = example_inputs(twin)
    try:
        with torch.no_grad():
            made = tuple(twin(**inputs).sample.shape)
    except (RuntimeError, ValueError, TypeError) as err:
        why = str(err).partition("\n")[0]
        raise CheckpointError(f"{said}: nothing passes '{entered[-1]}' ({why}); {AGAIN}") from err
    if made != tuple(inputs["sample"].shape):
        raise CheckpointError(f"{said}: of latents {tuple(inputs['sample'].shape)} it makes {made}; {AGAIN}")


def files(folder: Path) -> list[Path]:
    """All that `read` reads of a folder, as far as it is there, in order: what decides which network it is.

    Raises CheckpointError.
    """
    ours = (folder / PRUNING).is_file()
    named = [folder / OURS, folder / PRUNING] if ours else [_listing(folder), *_files(folder)]
    return sorted(path for path in {folder / CONFIG, *named} if path.is_file())


def _listing(folder: Path) -> Path:
    """The safetensors file of a folder in diffusers' layout, or the index of several; a variant's where it has no others."""
    plain = (folder / name for name in (WEIGHTS, SHARDS))
    return next((path for path in plain if path.is_file()), None) or _variant(folder)


def _files(folder: Path) -> list[Path]:
    """The safetensors files of a folder in diffusers' layout."""
    listing = _listing(folder)
    if listing.suffix == ".safetensors":
        return [listing]
    names = json_document(listing).get("weight_map")
    if not isinstance(names, Mapping) or not names:
        raise CheckpointError(f"{listing} has no weight_map; download it again")
    return [folder / Path(str(name)).name for name in sorted({*names.values()})]


def _variant(folder: Path) -> Path:
    """The file, or the index of files, of the one variant that a folder holds. Raises CheckpointError."""
    found = {path: match for path in sorted(folder.iterdir()) if (match := VARIANT.fullmatch(path.name))}
    if len(found) == 1:
        return next(iter(found))
    if found:
        names = ", ".join(str(match["own"] or match["split"]) for match in found.values())
        raise CheckpointError(f"{folder} holds the variants {names} and no {WEIGHTS}; keep one of them")
    if (folder / OURS).is_file():
        raise CheckpointError(f"{folder} holds {OURS} and no {PRUNING}, which says how to read it; copy both")
    raise CheckpointError(f"{folder / WEIGHTS} is missing, and nothing but safetensors is read; convert the weights")


def _without_gates(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with diffusers' classes in place of the APTP authors'; any other is left as it is."""

    def plain(name: Any) -> Any:
        return [plain(each) for each in name] if isinstance(name, list) else AUTHORS.sub("", name or "") or name

    renamed = {key: plain(config[key]) for key in BLOCKS if key in config}
    if all(config[key] == name for key, name in renamed.items()):
        return config
    return {key: value for key, value in (config | renamed).items() if key not in OURS_ALONE}


def _nothing() -> Pruning:
    return Pruning(substitutes={}, heads={}, groups={})


def _check_shapes(dense: Any, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Raise CheckpointError where tensors are others than the config says, or of another shape: nothing tells heads and groups."""
    wanted = {name: tuple(tensor.shape) for name, tensor in dense.state_dict().items()}
    for name, tensor in tensors.items():
        if name in wanted and tuple(tensor.shape) != wanted[name]:
            what = f"{folder}: {name} has the shape {tuple(tensor.shape)}, and by its {CONFIG} {wanted[name]}"
            raise CheckpointError(f"{what}; a narrowed network needs the {PRUNING} that aptp_bench.save writes")
    for name in sorted(wanted.keys() ^ tensors.keys()):
        what = "is missing" if name in wanted else f"is there, and not by its {CONFIG}"
        raise CheckpointError(f"{folder}: '{name}' {what}; {AGAIN}")


def _of_shapes(dense: Any, tensors: Mapping[str, Tensor], folder: Path) -> Pruning:
    """What the APTP authors' pruning left of a network: a unit without tensors was dropped, the others' shapes say the rest."""
    space = GateSpace.of(dense)
    dropped = [unit for unit in space.depths if not any(name.startswith(f"{unit.path}.") for name in tensors)]
    skips: dict[str, Substitute] = {
        unit.path: SkipResnet(unit.channels) if unit.kind == "resnet" else SkipTransformer() for unit in dropped
    }
    heads, groups = {}, {}
    for layer in space.widths:
        if layer.kind == "feed_forward" or (layer.depth is not None and space.depths[layer.depth] in dropped):
            continue
        if layer.kind == "resnet":
            groups[f"{layer.path}.norm2"] = _kept(dense, layer, f"{layer.path}.norm2.weight", tensors, folder)
        else:
            heads[layer.path] = _kept(dense, layer, f"{layer.path}.to_q.weight", tensors, folder)
    substitutes = {
        path: Substituted(name=str(name_of(module)), settings=module.settings) for path, module in skips.items()
    }
    return Pruning(substitutes=substitutes, heads=heads, groups=groups)


def _kept(dense: Any, layer: Width, name: str, tensors: Mapping[str, Tensor], folder: Path) -> int:
    """How many of a layer's heads or groups are left, by the rows of one of its tensors."""
    if name not in tensors:
        raise CheckpointError(f"{folder}: '{name}' is missing; download it again")
    unit = dense.get_parameter(name).shape[0] // layer.size
    kept, rest = divmod(tensors[name].shape[0], unit)
    if rest or not 1 <= kept <= layer.size:
        rows = tensors[name].shape[0]
        raise CheckpointError(f"{folder}: '{name}' has {rows} rows, which are no {layer.size} or fewer units of {unit}")
    return kept


def _several(value: Any) -> Any:
    """A setting that is one value or one a block, as the set of its values."""
    return {*value} if isinstance(value, list | tuple) else {value}


def _shown(values: set[Any]) -> str:
    return ", ".join(sorted(map(str, values)))
