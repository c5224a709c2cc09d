"""What plugins say of themselves before they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aptp_bench import registry


@pytest.mark.parametrize(("name", "place"), [("coco2014", "data/coco"), ("partiprompts-full", "data/PartiPrompts.tsv")])
def test_a_dataset_says_which_of_its_files_are_missing(name: str, place: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    reason = registry.get("datasets", name).unavailable()
    assert reason.startswith(f"{place} is not there; ") and "--set dataset_config." in reason
    (tmp_path / place).mkdir(parents=True)
    for complete in (name, "coco", "cc3m", "partiprompts"):
        assert registry.get("datasets", complete).unavailable() is None
