"""To the hub: what was pruned in a repository of its own, safetensors and JSON, with a model card. Only where the user named it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from aptp_bench.core.files import write_text
from aptp_bench.errors import ConfigError, WeightsError
from aptp_bench.models.mixture import Mixture
from aptp_bench.models.storage import save
from aptp_bench.models.weights import HUB_ID, first_line
from aptp_bench.pruning.unets import UNet
from aptp_bench.records import Record, write
from aptp_bench.serving.model_card import FILE, MIXTURE, NETWORK, RECORD, Base, model_card


def push_to_hub(
    network: UNet | Mixture,
    repo_id: str,
    record: Record | None = None,
    private: bool | None = None,
    token: str | None = None,
) -> str:
    """Upload a network or a mixture with its model card; the repository's address. `load(repo_id)` gets it back.

    repo_id: owner/name, made if it is not there; record: of the run that made it, for the card; private: as the owner's
    default if None; token: None: of `hf auth login`. Raises WeightsError if the hub refuses, ConfigError.
    """

    def fill(folder: Path) -> None:
        save(network, folder)
        describe(folder, MIXTURE if isinstance(network, Mixture) else NETWORK, repo_id, record)

    return uploaded(fill, repo_id, private, token)


def describe(folder: Path, loading: str, place: str, record: Record | None) -> None:
    """Write the model card and the record beside what is in `folder`. loading, place: see model_card."""
    write_text(folder / FILE, model_card(loading, place, record, None if record is None else Base.of(record)))
    if record is not None:
        write(record, folder / RECORD)


def uploaded(fill: Callable[[Path], None], repo_id: str, private: bool | None, token: str | None) -> str:
    """Upload what `fill` writes into a folder; the repository's address. Raises WeightsError, ConfigError."""
    from huggingface_hub import create_repo, upload_folder
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if HUB_ID.fullmatch(repo_id) is None:
        raise ConfigError(f"'{repo_id}' is no repository of the hub; name it as owner/name")
    with tempfile.TemporaryDirectory() as scratch:
        fill(folder := Path(scratch) / "repository")
        try:
            create_repo(repo_id, private=private, token=token, exist_ok=True)
            upload_folder(repo_id=repo_id, folder_path=folder, token=token, commit_message="Upload by aptp-bench")
        except (OSError, HfHubHTTPError, HFValidationError) as err:
            what = f"{repo_id} cannot be uploaded ({first_line(err)})"
            raise WeightsError(f"{what}; log in with: hf auth login, as somebody who may write there") from err
    return f"https://huggingface.co/{repo_id}"
