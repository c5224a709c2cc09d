from __future__ import annotations

import pytest
import torch

from aptp_bench.errors import ConfigError
from aptp_bench.models.stable_diffusion import MiniSD
from aptp_bench.profiling import records
from aptp_bench.profiling.profile import Profiler
from aptp_bench.profiling.records import SpeedRecord
from aptp_bench.profiling.targets import dense


@pytest.fixture(scope="module")
def record() -> SpeedRecord:
    kind = MiniSD()
    profiler = Profiler(kind, dense(kind.skeleton(), "Norm 0.78 / aligned"), 8)
    return profiler.record(profiler.predicted(["A100"]), [], "how", torch.device("cpu"))


def test_a_record_goes_to_disk_and_back(record, tmp_path) -> None:
    path = records.save(record, tmp_path)
    assert path.parent == tmp_path / "speed"
    assert records.load(path) == record
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_its_name_is_fit_for_a_file_whatever_the_label(record) -> None:
    name = record.model_copy(update={"label": "../Größe: 1/2"}).name
    assert name.startswith(".._gr_e_1_2-mini_sd-32px-") or name.startswith("gr_e_1_2-mini_sd-32px-")
    assert "/" not in name
    assert record.name.startswith("norm_0.78_aligned-mini_sd-32px-")


@pytest.mark.parametrize("text", ["{", '{"schema_version": 2}', "[]"])
def test_what_is_no_record_is_an_error_with_the_fix(text: str, tmp_path) -> None:
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"not a readable speed record .* restore it, or measure again"):
        records.load(tmp_path / "x.json")
