from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aptp_bench import registry
from aptp_bench.contracts.evidence import READ_AT_ONCE, Cache, Evidence
from aptp_bench.core.blocks import Features, Named, Reading, read_blocks, write_blocks
from aptp_bench.core.distributed import ALONE
from aptp_bench.core.progress import SilentProgress
from aptp_bench.core.store import Store
from aptp_bench.errors import AptpBenchError, MetricError, UnknownNameError, WeightsError
from aptp_bench.evaluation.evaluate import backbones, companions, measure
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
        fake = evidence.features("inception")
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


def kept_in(root: Path) -> Cache:
    """As a run keeps features."""
    store = Store(root, SilentProgress())

    def cache(names: Sequence[Named], reading: Reading) -> list[Features | AptpBenchError]:
        made = store.stages(names, lambda folders: write_blocks(folders, reading, ALONE, store.progress, "features"))
        return [x if isinstance(x, AptpBenchError) else read_blocks(x.folder, reading.blocks) for x in made]

    return cache


def test_a_second_process_reads_features_from_the_store(evidence, images, tmp_path):
    cache = kept_in(tmp_path)

    def fresh(digest: str = "fake") -> Evidence:
        return Evidence(captions=["a"], image_set=Held(images, digest), backbones={"inception": Mean()}, cache=cache)

    first, second, other = fresh(), fresh(), fresh("other images")
    expected = first.features("inception")["pool"]
    assert torch.equal(second.features("inception")["pool"], expected)
    assert torch.equal(first.text_features("inception"), second.text_features("inception"))
    other.features("inception")
    read = [(e.backbones["inception"].images_read, e.backbones["inception"].texts_read) for e in (first, second, other)]
    assert read == [(7, 1), (0, 0), (7, 0)]


class Counted(Held):
    """Images that count how often they are read."""

    reads = 0

    def read(self, indices: range) -> Tensor:
        Counted.reads += 1
        return super().read(indices)


class Other(Mean):
    """Another network."""

    name = "other"


class Comparing(Mean):
    """One that compares two images."""

    name, pairs = "comparing", True


class Unloaded(Mean):
    """A network that cannot be loaded."""

    name = "unloaded"

    def image_features(self, images: Tensor) -> dict[str, Tensor]:
        raise WeightsError("its file is cut short; fetch it again")


@pytest.mark.parametrize("stored", [False, True])
def test_one_pass_over_images_serves_every_network_and_one_that_fails_leaves_the_others(images, tmp_path, stored):
    other = Other()
    networks = {"inception": Mean(), "cmmd": other, "preference": Unloaded()}
    cached = {"cache": kept_in(tmp_path)} if stored else {}
    wanted = {"images": ["inception", "preference", "cmmd"]}
    evidence = Evidence(["a"], Counted(images, "a"), backbones=networks, companions=wanted, **cached)
    Counted.reads = 0
    found = evidence.features("cmmd")["pool"]
    assert torch.equal(found, evidence.features("inception")["pool"])
    assert (networks["inception"].images_read, other.images_read, Counted.reads) == (7, 7, 1)
    with pytest.raises(WeightsError, match="cut short"):
        evidence.features("preference")


def test_metrics_say_which_networks_a_pass_serves():
    metrics = [
        registry.get("metrics", name)() for name in ("fid", "clip_score", "cmmd", "clip_similarity", "lpips", "macs")
    ]
    networks = {"inception": Mean(), "clip_score": Mean(), "perceptual": Comparing()}
    assert companions(metrics, networks) == {
        "images": ["inception", "clip_score"], "reals": ["inception"], "reference": ["clip_score"],
    }  # fmt: skip


def test_a_set_is_read_in_blocks_and_in_order():
    many = torch.arange(2 * READ_AT_ONCE + 3).view(-1, 1, 1, 1).expand(-1, 1, 1, 3).to(torch.uint8)
    whole = Evidence(captions=["a"], image_set=Held(many, "many"), backbones={"inception": Mean()})
    assert torch.equal(whole.features("inception")["pool"][:, 0], many[:, 0, 0, 0].float())


def test_real_images_have_features_of_their_own(evidence, images):
    both = Evidence(
        captions=evidence.captions,
        image_set=Held(images, "a"),
        real_set=Held(images[:3] // 2, "b"),
        backbones=evidence.backbones,
    )
    fake, real = both.features("inception"), both.real_features("inception")
    assert len(fake["pool"]) == 7 and len(real["pool"]) == 3
    assert torch.equal(both.reals(), images[:3] // 2) and torch.equal(both.images(), images)
    assert evidence.real_features("inception") is None


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
    register(
        "backbones",
        "gone",
        type("Gone", (Mean,), {"name": "gone", "unavailable": classmethod(lambda cls: "no weights; fetch")}),
    )
    register("backbones", "mean", Mean)
    found, lacking = backbones({"cmmd": "gone", "inception": "mean"}, torch.device("cpu"))
    assert set(found) == {"inception"} and lacking == {"cmmd": "no weights; fetch"}
    with pytest.raises(UnknownNameError):
        backbones({"cmmd": "nobody"}, torch.device("cpu"))


def test_networks_are_told_the_device(register):
    class Placed(Mean):
        name = "placed"

        class Config(PluginConfig):
            device: str = "auto"

    register("backbones", "placed", Placed)
    found, _ = backbones({"cmmd": "placed"}, torch.device("cpu"))
    assert found["cmmd"].config.device == "cpu"


def _of_itself() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


@pytest.mark.parametrize(
    ("gives", "words"),
    [
        (lambda metric: 0.5, "gives a float, not a Measurement; return self.measured"),
        (lambda metric: None, "gives a NoneType, not a Measurement"),
        (
            lambda metric: metric.measured(float("nan"), n=7),
            r"no measurement: value: .*finite number \(got nan\); mend",
        ),
        (lambda metric: metric.measured(1.0, n=7, interval=(0.0, float("inf"))), r"interval.1: .*finite"),
        (lambda metric: metric.measured(1.0, n=7, interval=(2.0, 0.0)), "the interval begins at 2 and ends at 0"),
        (lambda metric: metric.measured(1.0, n=0), "n: .*greater than 0"),
        (lambda metric: metric.measured(1.0, n=7, of=torch.ones(2)), r"stranger gives no .*of holds tensor.*Tensor"),
        (lambda metric: metric.measured(1.0, n=7, of=[{"a": {1}}]), r"of holds \{1\} \(set\)"),
        (lambda metric: metric.measured(1.0, n=7, of={1: 2}), r"of holds 1 \(int\)"),
        (lambda metric: metric.measured(1.0, n=7, of=float("nan")), "of holds nan"),
        (lambda metric: metric.measured(1.0, n=7, of="\ud800"), "of holds"),
        (lambda metric: metric.measured(1.0, n=7, of=_of_itself()), "holds itself"),
        (lambda metric: Measurement(value=1.0, unit="", better="higher", n=-1), "stranger gives no measurement: n: "),
        (lambda metric: metric.measured(1.0, n=7).model_copy(update={"unit": "kg"}), "gives 'kg'"),
    ],
)
def test_what_is_no_measurement_is_said_and_the_other_metrics_go_on(evidence: Evidence, gives: Any, words: str) -> None:
    """Metrics may be a stranger's."""
    kind = type("Stranger", (Brightness,), {"name": "stranger", "__call__": lambda metric, evidence: gives(metric)})
    results, skipped = measure([kind(), Brightness()], {"dataset": evidence}, {})
    assert set(results) == {"brightness"} and "\n" not in skipped["stranger"]
    assert re.search(words, skipped["stranger"])
