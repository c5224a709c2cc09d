from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aptp_bench.contracts.evidence import READ_AT_ONCE, Evidence
from aptp_bench.core.distributed import ALONE
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.store import Store
from aptp_bench.core.tensors import read_parts, write_parts
from aptp_bench.errors import MetricError, UnknownNameError, WeightsError
from aptp_bench.evaluation.evaluate import backbones, measure
from aptp_bench.generation.image_sets import Held
from aptp_bench.plugins import BackbonePlugin, Metric, PluginConfig
from aptp_bench.records import Measurement


class Mean(BackbonePlugin):
    """The mean colour of an image, and the length of a text; it counts what it reads."""

    name, role, world = "mean", ("inception",), "mini"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.images_read, self.texts_read = 0, 0

    def image_features(self, images: Tensor) -> dict[str, Tensor]:
        self.images_read += len(images)
        return {"pool": images.float().mean(dim=(1, 2))}

    def text_features(self, captions: Sequence[str]) -> Tensor:
        self.texts_read += len(captions)
        return torch.tensor([[float(len(caption))] for caption in captions])

    def digest(self) -> str:
        return "1" * 64


class Brightness(Metric):
    """Mean brightness."""

    name, unit, better, backbone = "brightness", "", "higher", "inception"
    needs = frozenset({"images"})

    def __call__(self, evidence: Evidence) -> Measurement:
        fake, _ = evidence.features("inception")
        return self.measured(float(fake["pool"].mean()), n=len(fake["pool"]))


class Contrast(Brightness):
    """Another metric of the same network."""

    name = "contrast"


class Difference(Brightness):
    """One that wants reals."""

    name = "difference"
    needs = frozenset({"images", "reals"})


class OnPrompts(Brightness):
    """One that is read on the other prompts."""

    name, on = "on_prompts", "partiprompts"


class Broken(Brightness):
    """One that cannot be had from this evidence."""

    name = "broken"

    def __call__(self, evidence: Evidence) -> Measurement:
        raise MetricError("too few images; raise the size")


class Blind(Brightness):
    """One whose network lacks its weights."""

    name, backbone = "blind", "preference"


class Absent(Brightness):
    """One that does not run on this machine."""

    name = "absent"

    @classmethod
    def unavailable(cls) -> str | None:
        return "needs a package; pip install it"


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (7, 4, 4, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def evidence(images: Tensor) -> Evidence:
    return Evidence(
        captions=list("abcdefg"), image_set=Held(images, "fake"), backbones={"inception": Mean(), "cmmd": Mean()}
    )


def test_one_network_reads_a_set_once_for_all_metrics(evidence):
    results, _ = measure([Brightness(), Contrast()], {"dataset": evidence}, {})
    evidence.features("inception")
    assert set(results) == {"brightness", "contrast"}
    assert evidence.backbones["inception"].images_read == 7


def test_a_second_process_reads_features_from_the_store(evidence, images, tmp_path):
    def cache(name: str, key: dict[str, Any], parts: Any) -> dict[str, Tensor]:
        store = Store(tmp_path, SilentProgress())

        def make(folder: Path) -> None:
            write_parts(folder, parts, ALONE, SilentProgress(), name)

        return read_parts(store.stage(name, make, key=key).folder, len(parts))

    def fresh(digest: str = "fake") -> Evidence:
        return Evidence(captions=["a"], image_set=Held(images, digest), backbones={"inception": Mean()}, cache=cache)

    first, second, other = fresh(), fresh(), fresh("other images")
    expected = first.features("inception")[0]["pool"]
    assert torch.equal(second.features("inception")[0]["pool"], expected)
    assert torch.equal(first.text_features("inception"), second.text_features("inception"))
    other.features("inception")
    read = [(e.backbones["inception"].images_read, e.backbones["inception"].texts_read) for e in (first, second, other)]
    assert read == [(7, 1), (0, 0), (7, 0)]


def test_a_set_is_read_in_blocks_and_in_order():
    many = torch.arange(2 * READ_AT_ONCE + 3).view(-1, 1, 1, 1).expand(-1, 1, 1, 3).to(torch.uint8)
    whole = Evidence(captions=["a"], image_set=Held(many, "many"), backbones={"inception": Mean()})
    assert torch.equal(whole.features("inception")[0]["pool"][:, 0], many[:, 0, 0, 0].float())


def test_real_images_have_features_of_their_own(evidence, images):
    both = Evidence(
        captions=evidence.captions,
        image_set=Held(images, "a"),
        real_set=Held(images[:3] // 2, "b"),
        backbones=evidence.backbones,
    )
    fake, real = both.features("inception")
    assert len(fake["pool"]) == 7 and len(real["pool"]) == 3
    assert torch.equal(both.reals(), images[:3] // 2) and torch.equal(both.images(), images)
    assert evidence.features("inception")[1] is None


def test_what_cannot_be_measured_is_named_and_not_made_up(evidence):
    metrics = [Difference(), OnPrompts(), Broken(), Absent(), Blind(), Brightness()]
    results, skipped = measure(metrics, {"dataset": evidence}, {"preference": "no weights; fetch them"})
    assert set(results) == {"brightness"}
    assert skipped == {
        "difference": "needs reals",
        "on_prompts": "no partiprompts images in this run",
        "broken": "too few images; raise the size",
        "absent": "needs a package; pip install it",
        "blind": "no weights; fetch them",
    }


def test_weights_that_fail_when_they_are_read_skip_the_metric(evidence):
    def fails(metric: Metric, evidence: Evidence) -> Measurement:
        raise WeightsError("corrupt; fetch it again")

    assert measure([Brightness()], {"dataset": evidence}, {}, fails) == ({}, {"brightness": "corrupt; fetch it again"})


def test_a_bug_in_a_metric_is_not_hidden(evidence):
    class Buggy(Brightness):
        def __call__(self, evidence: Evidence) -> Measurement:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure([Buggy()], {"dataset": evidence}, {})


def test_parts_that_are_not_there_say_so():
    bare = Evidence(captions=["a"])
    lost = (lambda: bare.system, lambda: bare.backbone("cmmd"), lambda: bare.features("cmmd"))
    for ask in (bare.images, bare.reals, *lost):
        with pytest.raises(MetricError, match=";"):
            ask()
    assert [bare.has(need) for need in ("images", "reals", "captions", "mixture")] == [False, False, True, False]


def test_roles_of_one_name_share_a_network(register):
    register("backbones", "mean", Mean)
    found, lacking = backbones({"cmmd": "mean", "clip_score": "mean"}, torch.device("cpu"))
    assert found["cmmd"] is found["clip_score"] and lacking == {}


def test_a_network_without_weights_is_lacking_with_the_reason(register):
    register("backbones", "gone", type("Gone", (Mean,), {"unavailable": classmethod(lambda cls: "no weights; fetch")}))
    register("backbones", "mean", Mean)
    found, lacking = backbones({"cmmd": "gone", "inception": "mean"}, torch.device("cpu"))
    assert set(found) == {"inception"} and lacking == {"cmmd": "no weights; fetch"}
    with pytest.raises(UnknownNameError):
        backbones({"cmmd": "nobody"}, torch.device("cpu"))


def test_networks_are_told_the_device(register):
    class Placed(Mean):
        class Config(PluginConfig):
            device: str = "auto"

    register("backbones", "placed", Placed)
    found, _ = backbones({"cmmd": "placed"}, torch.device("cpu"))
    assert found["cmmd"].config.device == "cpu"
