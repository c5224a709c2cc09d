from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset

from aptp_bench import registry
from aptp_bench.core.distributed import ALONE
from aptp_bench.errors import DataError
from aptp_bench.harness.inputs import Materials
from aptp_bench.harness.run import run_each
from aptp_bench.plugins import DatasetPlugin


def test_what_a_run_shares(tiny_run, tiny):
    given = Materials.of(tiny_run("dense"), torch.device("cpu"))
    assert given.teacher is tiny and given.tokens == 77
    assert (len(given.train), len(given.captions("dataset")), len(given.captions("partiprompts"))) == (12, 6, 3)
    assert set(given.digests) == {"model", "train", "val", "prompts"}
    assert given.reals("dataset", 8).read(range(2)).shape == (2, 8, 8, 3)
    assert given.reals("partiprompts", 8) is None


def test_the_second_set_can_be_left_out(tiny_run):
    given = Materials.of(tiny_run("dense", "sizes.partiprompts=0"), torch.device("cpu"))
    assert given.prompts is None and given.captions("partiprompts") == [] and "prompts" not in given.digests


def test_a_run_says_what_its_data_leave_out(tiny_run, register, monkeypatch):
    class Lossy(type(registry.get("datasets", "coco")())):
        """Of which two rows are gone."""

        name = "lossy"

        def load(self, split, limit=None):
            rows = super().load(split, limit)
            rows.info.description = f"lossy {split}" + "; 2 rows left out: no image" * (split == "train")
            return rows

    register("datasets", "lossy", Lossy)
    given = Materials.of(tiny_run("dense").model_copy(update={"dataset": "lossy"}), torch.device("cpu"))
    assert given.left_out == ["train: 2 rows left out: no image"]
    monkeypatch.setattr(Materials, "of", lambda recipe, device: given)
    lines = []
    store = SimpleNamespace(progress=SimpleNamespace(say=lines.append), ranks=ALONE)
    with pytest.raises(AttributeError):  # it ends where stages would begin
        run_each([tiny_run("dense")], store, torch.device("cpu"))
    assert lines[0] == "train: 2 rows left out: no image"


class Odd(DatasetPlugin):
    """A dataset that lacks a split, or rows."""

    name, world = "odd", "mini"
    splits = ("val",)

    def load(self, split, limit=None):
        return Dataset.from_dict({"caption": [], "image": []})


def test_a_dataset_without_the_split_or_rows_is_refused(tiny_run, register):
    register("datasets", "odd", Odd)
    recipe = tiny_run("dense").model_copy(update={"dataset": "odd", "dataset_config": {}})
    with pytest.raises(DataError, match=r"no train split \(it has val\)"):
        Materials.of(recipe, torch.device("cpu"))
    Odd.splits = ("train", "val")
    with pytest.raises(DataError, match="no rows in its train split"):
        Materials.of(recipe, torch.device("cpu"))
