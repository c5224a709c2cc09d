"""Where a network's weights come from: a folder, a shared folder of weights, the hub's cache, or, if allowed, the hub.

Nothing is fetched unless the user names a hub id or sets APTP_BENCH_ALLOW_DOWNLOAD=1; nothing but safetensors is read.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aptp_bench.core.files import at_home, feed
from aptp_bench.errors import WeightsError

if TYPE_CHECKING:
    from torch import nn

HOME = "APTP_BENCH_WEIGHTS"  # a folder with one sub-folder a network, named as its plugin is
ALLOW = "APTP_BENCH_ALLOW_DOWNLOAD"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def home() -> Path:
    """The folder that holds one sub-folder a network: $APTP_BENCH_WEIGHTS, or one in the user's cache."""
    chosen = os.environ.get(HOME)
    return at_home(chosen) if chosen else Path.home() / ".cache" / "aptp-bench" / "weights"


def downloads_allowed() -> bool:
    """Whether the user lets default weights be fetched from the hub."""
    return os.environ.get(ALLOW, "").lower() in ("1", "true", "yes")


def find(name: str, weights: str | None, hub_ids: Sequence[str], files: Sequence[str], fix: str | None = None) -> Path:
    """The folder (or file) of the weights of the plugin `name`.

    weights: a local path or a hub id (then it may be fetched), or None for `home()/name` and after that the first of
    `hub_ids` that is at hand. files: patterns of what is wanted of a repository. fix: what to do if nothing is found,
    instead of the usual. Raises WeightsError with the fix.
    """
    if weights is not None:
        return _named(name, weights, files)
    if (home() / name).exists():
        return home() / name
    for hub_id in hub_ids:
        if (folder := snapshot(hub_id, files, fetch=downloads_allowed())) is not None:
            return folder
    raise WeightsError(f"{name}: no weights on this machine; {fix or _fix(name, hub_ids, files)}")


def on_hub(weights: str) -> bool:
    """Whether weights that were named can only be had from the hub: no folder is there, and it may be a repository's id."""
    return not at_home(weights).exists() and HUB_ID.fullmatch(weights) is not None


def lacking(hub_ids: Sequence[str], search: Callable[[], Path], parts: Sequence[str] = ("",)) -> str | None:
    """Why weights cannot be had, with the command that fixes it; None if they can. search: raises WeightsError.

    parts: folders in what is found that hold tensors each. A download that broke off leaves some of them empty.
    """
    if hub_ids and downloads_allowed():
        return None
    try:
        found = search()
    except WeightsError as err:
        return str(err)
    places = [] if found.is_file() else [found / part for part in parts]
    empty = next((place for place in places if not any(place.rglob("*.safetensors"))), None)
    return (
        None if empty is None else f"{empty} holds no safetensors file; fetch the weights there again, or convert them"
    )


def snapshot(hub_id: str, files: Sequence[str], fetch: bool) -> Path | None:
    """A repository's folder in the hub's cache, fetched first if `fetch`; None if it cannot be had."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(files), local_files_only=not fetch))
    except (OSError, HfHubHTTPError, HFValidationError):  # offline, unknown, gated or withdrawn
        return None


def load(kind: Any, folder: Path) -> Any:
    """`kind.from_pretrained(folder)`: float32, eval mode, frozen, from local safetensors only.

    kind: a transformers or diffusers network class. Raises WeightsError if the files are missing or corrupt, or lack a
    parameter: the libraries would fill it with random numbers and go on.
    """
    try:
        with quiet():
            network, report = kind.from_pretrained(
                folder, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
    except Exception as err:  # each library and format has its own errors; all mean the same here
        raise WeightsError(
            f"{folder} holds no readable {kind.__name__} ({first_line(err)}); fetch or save it again"
        ) from err
    wrong = sorted(str(key) for key in [*report["missing_keys"], *report["mismatched_keys"]])
    if wrong:
        raise WeightsError(
            f"{folder} is not a whole {kind.__name__} ({len(wrong)} wrong, e.g. {wrong[0]}); fetch or save it again"
        )
    _check_numbers(folder, network)
    return freeze(network.float())


def _check_numbers(folder: Path, network: nn.Module) -> None:
    """Raise WeightsError for parameters that are stored as integers, which libraries convert unsaid, or are not finite."""
    from safetensors import safe_open

    parameters = dict(network.named_parameters())
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as stored:
            for name in parameters.keys() & set(stored.keys()):
                if "F" not in (kind := str(stored.get_slice(name).get_dtype())):
                    raise WeightsError(f"{file} holds {name} as {kind}, which is no weight; fetch or save it again")
    if bad := next((name for name, values in parameters.items() if not bool(values.isfinite().all())), None):
        raise WeightsError(f"{folder} holds numbers that are not finite, first in {bad}; fetch or save it again")


def freeze(network: nn.Module) -> nn.Module:
    """The same network in eval mode, without gradients."""
    return network.eval().requires_grad_(False)


def digest(path: Path) -> str:
    """sha256 over a folder's safetensors files (or one file) in sorted order. Raises WeightsError without any."""
    files = [path] if path.is_file() else sorted(path.rglob("*.safetensors"))
    if not files:
        raise WeightsError(
            f"{path} holds no safetensors file; convert the weights: save_pretrained(folder) writes them"
        )
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.name.encode())
        feed(whole, file)
    return whole.hexdigest()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the loaders' bars and advice, and put everything back."""
    import diffusers.utils.logging as diffusers_logging
    import transformers.utils.logging as transformers_logging

    with ExitStack() as undo:
        for log in (diffusers_logging, transformers_logging):
            undo.callback(log.set_verbosity, log.get_verbosity())
            log.set_verbosity_error()
            if log.is_progress_bar_enabled():
                undo.callback(log.enable_progress_bar)
            log.disable_progress_bar()
        sentences = logging.getLogger("sentence_transformers")
        undo.callback(sentences.setLevel, sentences.level)
        sentences.setLevel(logging.ERROR)
        yield


def first_line(err: BaseException) -> str:
    """An error's first line without the final full stop, for a message of one line."""
    lines = str(err).strip().splitlines()
    return f"{type(err).__name__}: {lines[0][:200].rstrip('.')}" if lines else type(err).__name__


def _named(name: str, weights: str, files: Sequence[str]) -> Path:
    path = at_home(weights)
    if path.exists():
        return path
    if HUB_ID.fullmatch(weights) is None:
        raise WeightsError(
            f"{name}: there is no folder {weights}; give an existing folder or a hub id such as owner/name"
        )
    if (folder := snapshot(weights, files, fetch=True)) is None:
        raise WeightsError(
            f"{name}: {weights} is neither a folder nor a repository that can be reached; give a local folder"
        )
    return folder


def _fix(name: str, hub_ids: Sequence[str], files: Sequence[str]) -> str:
    if not hub_ids:
        return f"put them in {home() / name}"
    wanted = " ".join(f"'{pattern}'" for pattern in files)
    return f"fetch them: hf download {hub_ids[0]} --include {wanted} --local-dir {home() / name}, or set {ALLOW}=1"
