from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from aptp_bench.backbones.inception import MiniInception
from aptp_bench.config import recipe
from aptp_bench.errors import ConfigError, DataError, UnknownNameError
from aptp_bench.evaluation.external_images import Made, captioned, measure_folder, real_dataset, real_folder
from aptp_bench.generation.image_sets import fitted
from aptp_bench.generation.images import image_path, write_image

MINI = recipe("dense", "coco", "mini")
CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pictures = torch.randint(0, 256, (6, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for i, picture in enumerate(pictures):
        write_image(tmp_path / "images", i, picture)
    return tmp_path / "images"


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    (tmp_path / "captions.txt").write_text("".join(f"picture {i}\n" for i in range(6)))
    return tmp_path / "captions.txt"


@pytest.fixture
def inception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Inception of random weights in the place of the embedded one, and no other network."""
    from aptp_bench import assets

    torch.manual_seed(0)
    MiniInception({"subject": 5}, width=16).save(tmp_path / "assets" / "inception")
    monkeypatch.setattr(assets, "ROOT", tmp_path / "assets")


def test_a_folder_is_measured_by_what_can_be_had(folder, captions, inception):
    found = measure_folder(Made(folder, captions), None, None, MINI, CPU)
    assert found["world"] == "mini" and found["images"] == 6
    assert set(found["results"]) == {"inception_score"}
    assert found["skipped"]["fid"] == "needs reals"
    assert "has no weights" in found["skipped"]["clip_score"]
    assert "latency" not in found["skipped"]  # it reads no images, so it was not asked for


def test_images_are_compared_with_those_of_a_reference_in_the_order_of_their_names(
    folder, captions, inception, tmp_path
):
    names = ["ssim", "psnr"]
    shutil.copytree(folder, tmp_path / "other")
    same = measure_folder(Made(folder, captions, tmp_path / "other"), None, names, MINI, CPU)["results"]
    assert same["ssim"]["value"] == pytest.approx(1.0) and same["ssim"]["n"] == 6
    for number in range(6):  # other names, another order: no image has its own
        (tmp_path / "other" / f"{number:06d}.png").rename(tmp_path / "other" / f"x{(number + 1) % 6}.png")
    moved = measure_folder(Made(folder, captions, tmp_path / "other"), None, names, MINI, CPU)["results"]
    assert moved["ssim"]["value"] < 0.5
    (tmp_path / "other" / "x0.png").unlink()
    with pytest.raises(DataError, match="5 images for 6"):
        measure_folder(Made(folder, captions, tmp_path / "other"), None, names, MINI, CPU)


def test_a_reference_whose_names_mean_another_order_is_refused(folder, captions, inception, tmp_path):
    def measured():
        return measure_folder(Made(folder, captions, tmp_path / "other"), None, ["ssim"], MINI, CPU)["results"]["ssim"]

    shutil.copytree(folder, tmp_path / "other")
    (tmp_path / "other" / "000000.png").rename(tmp_path / "other" / "000006.png")  # all the others would move up
    with pytest.raises(DataError, match=r"000006\.png"):
        measured()
    (tmp_path / "other" / "000006.png").rename(tmp_path / "other" / "0.png")  # the same number
    assert measured()["value"] == pytest.approx(1.0)
    (tmp_path / "other" / "1.png").write_bytes((tmp_path / "other" / "0.png").read_bytes())
    (tmp_path / "other" / "0.png").unlink()
    with pytest.raises(DataError, match="whose order"):
        measured()


def test_captions_by_line_need_an_order_of_the_images(folder, captions):
    image_path(folder, 0).rename(folder / "1.png")
    with pytest.raises(DataError, match=r"000001\.png and 1\.png"):
        captioned(folder, captions)
    named = {path.name: "a dog" for path in folder.iterdir()}
    captions.with_suffix(".json").write_text(json.dumps(named))
    assert len(captioned(folder, captions.with_suffix(".json"))[0]) == 6
    (folder / "1.png").rename(folder / "000002.jpg")
    with pytest.raises(DataError, match=r"000002"):
        captioned(folder, captions)


def test_fid_of_a_folder_to_itself_is_nothing_and_to_others_more(folder, captions, inception, tmp_path):
    same = measure_folder(Made(folder, captions), real_folder(folder, MINI), ["fid"], MINI, CPU)
    assert same["results"]["fid"]["value"] == pytest.approx(0.0, abs=1e-12)
    (tmp_path / "others").mkdir()
    for i in range(4):
        Image.new("RGB", (50, 40 + i), (200, 30 * i, 0)).save(tmp_path / "others" / f"{i}.jpg")
    others = measure_folder(Made(folder, captions), real_folder(tmp_path / "others", MINI), ["fid"], MINI, CPU)
    assert others["results"]["fid"]["value"] > 1e-9  # an untrained network's features are small
    assert others["results"]["fid"]["detail"]["n_real"] == 4


def test_captions_may_be_json(folder, tmp_path):
    (tmp_path / "captions.json").write_text(json.dumps({f"{i:06d}.png": f"c{i}" for i in range(6)}))
    paths, texts = captioned(folder, tmp_path / "captions.json")
    assert [p.name for p in paths] == [f"{i:06d}.png" for i in range(6)] and texts == [f"c{i}" for i in range(6)]


def test_held_out_images_of_a_dataset_are_reals():
    assert len(real_dataset(recipe("dense", "coco", "smoke"))) == 64
    with pytest.raises(DataError, match="captions only"):
        real_dataset(recipe("dense", "partiprompts", "smoke"))
    with pytest.raises(UnknownNameError):
        real_dataset(recipe("dense", "cocoo", "smoke"))


def test_what_does_not_belong_together_is_refused(folder, captions, tmp_path, inception):
    (tmp_path / "empty").mkdir()
    (tmp_path / "few.txt").write_text("one\ntwo\n")
    for call, words in [
        (lambda: captioned(folder, tmp_path / "few.txt"), "2 captions for 6 images"),
        (lambda: captioned(folder, tmp_path / "none.txt"), "there is no file"),
        (lambda: captioned(folder, tmp_path / "captions.xml"), "is not a captions file"),
        (lambda: captioned(tmp_path / "nowhere", captions), "there is no folder"),
        (lambda: captioned(tmp_path / "empty", captions), "holds no images"),
        (lambda: real_folder(tmp_path / "nowhere", MINI), "with --reals"),
        (lambda: real_folder(tmp_path / "empty", MINI), "with --reals"),
    ]:
        with pytest.raises(DataError, match=words):
            call()
    (folder / "000003.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"000003\.png is broken"):
        measure_folder(Made(folder, captions), None, None, MINI, CPU)


def test_a_metric_that_is_asked_for_is_measured_or_refused(folder, captions):
    with pytest.raises(ConfigError, match="ssim cannot be measured here: needs reference"):
        measure_folder(Made(folder, captions), None, ["ssim"], MINI, CPU)
    with pytest.raises(ConfigError, match="fid cannot be measured here: needs reals"):
        measure_folder(Made(folder, captions), None, ["fid"], MINI, CPU)


def test_options_of_metrics_and_networks_are_reached(folder: Path, captions: Path) -> None:
    settings = ["metric_config.fid.groups=7", "backbone_config.mini-inception.batch=2"]
    asked = recipe("dense", "coco", "mini", settings=settings)
    found = measure_folder(Made(folder, captions), real_folder(folder, asked), ["fid"], asked, CPU)
    assert found["results"]["fid"]["detail"]["jackknife_groups"] == 7
    with pytest.raises(ConfigError, match=r"metric_config\.fid\.groups"):
        recipe("dense", "coco", "mini", settings=["metric_config.fid.group=7"])
    with pytest.raises(ConfigError, match="groups"):
        recipe("dense", "coco", "mini", settings=["metric_config.fid.groups=-7"])


def test_images_of_several_sizes_are_brought_to_one_where_that_is_asked_for(folder, captions, inception):
    Image.new("RGB", (48, 24), (9, 0, 0)).save(image_path(folder, 0))
    with pytest.raises(DataError, match="--fit"):
        measure_folder(Made(folder, captions), None, ["inception_score"], MINI, CPU)
    for fit in ("crop", "squash"):
        found = measure_folder(Made(folder, captions, folder, fit), None, ["inception_score", "ssim"], MINI, CPU)
        assert found["results"]["ssim"]["value"] == pytest.approx(1.0)


def test_a_folder_is_nothing_from_itself_or_its_shape_is_asked_about(folder, captions, inception):
    """Images that are no squares, whose real ones are cropped."""
    for number in range(6):
        with Image.open(image_path(folder, number)) as picture:
            picture.resize((48, 24)).save(image_path(folder, number))
    with pytest.raises(DataError, match="--fit"):
        measure_folder(Made(folder, captions), real_folder(folder, MINI), ["fid"], MINI, CPU)
    for fit in ("crop", "squash"):
        made = Made(folder, captions, fit=fit)
        found = measure_folder(made, real_folder(folder, MINI, fit), ["fid"], MINI, CPU)["results"]
        assert found["fid"]["value"] == pytest.approx(0.0, abs=1e-12)


def test_a_crop_keeps_shapes_and_a_squash_keeps_all():
    picture = torch.zeros(1, 8, 16, 3, dtype=torch.uint8)
    picture[:, :, :4] = 200
    assert not fitted(picture, "crop", 8).any()
    assert (fitted(picture, "squash", 8)[:, :, 0] > 100).all()
