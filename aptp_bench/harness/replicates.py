"""One number a prompt for every metric that has them, in one file beside the record: what paired comparisons read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aptp_bench.records import Measurement, Record, Replicates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scores = Mapping[str, NDArray[np.float64]]  # metric -> [n], in the order of the prompts

FOLDER = "replicates"
FLOAT32 = 1e-5  # of a number, what is lost by keeping it as a float32, with some room


def packed(results: Mapping[str, Measurement]) -> tuple[bytes, Replicates | None]:
    """The file of what measurements hold, and what a record says of it; (b"", None) where none holds any."""
    import numpy as np
    from safetensors.numpy import save

    found = {name: np.asarray(m.replicates, np.float32) for name, m in results.items() if m.replicates is not None}
    if not found:
        return b"", None
    content = save(found)
    return content, Replicates(metrics=list(found), sha256=hashlib.sha256(content).hexdigest())


def path_of(record: Path) -> Path:
    """Where those of the record file `results`/records/NAME.json lie: `results`/replicates/NAME.safetensors."""
    return record.parent.parent / FOLDER / f"{record.stem}.safetensors"


def read(path: Path, facts: Replicates | None, results: Mapping[str, Measurement]) -> Scores | None:
    """The file's numbers if it is there and is the one that its record names; of a metric whose mean is not its value, none."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if facts is None or not path.is_file():
        return None
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != facts.sha256:
        return None
    try:
        found = {name: each.astype(np.float64) for name, each in load(content).items()}
    except SafetensorError:
        return None
    sound = {name: each for name, each in found.items() if each.ndim == 1 and np.isfinite(each).all()}
    return {name: each for name, each in sound.items() if name in results and _agree(each, results[name])}


def _agree(scores: NDArray[np.float64], measured: Measurement) -> bool:
    """Whether the mean is the value, as far as float32 goes: an edited value has other replicates."""
    return bool(abs(scores.mean() - measured.value) <= FLOAT32 * (1 + abs(scores).max()))


def of_all(records: Mapping[Path, Record]) -> dict[str, Scores]:
    """Those of records by file, under the digest by which a record names them; what is missing or changed is left out."""
    found: dict[str, Scores] = {}
    for path, record in records.items():
        scores = read(path_of(path), record.replicates, record.results)
        if record.replicates is not None and scores is not None:
            found[record.replicates.sha256] = scores
    return found
